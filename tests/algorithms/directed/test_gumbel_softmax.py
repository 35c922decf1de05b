"""The Concrete relaxation, against quadrature, TFP's densities and enumeration."""

import keras
import numpy as np
import pytest
from discrete import BINARY, categorical_network, check
from keras import ops
from oracles import assign, belief_network, joint

import keras_dgm as dgm
from keras_dgm import testing
from keras_dgm.algorithms.directed import relaxation
from keras_dgm.backend import tfd
from keras_dgm.distributions import Bernoulli, OneHotCategorical, RelaxedBernoulli
from keras_dgm.testing.numeric import sigmoid, softplus

NODES = (np.arange(8000) + 0.5) / 8000
LOGISTIC = np.log(NODES) - np.log1p(-NODES)
X = np.array([[1.0, 0.0], [1.0, 1.0]])
THETA = [np.array([[1.5, -2.0]]), np.array([-0.5, 0.8])]
PHI = [np.array([[0.7], [-0.4]]), np.array([0.3])]


def one_latent():
    """(generative, inference): x of two pixels, one binary latent with a prior of even odds."""
    generative = dgm.models.LatentVariableModel(Bernoulli((1,)), Bernoulli((2,)))
    inference = Bernoulli((1,))
    inference.build((None, 2))
    assign(generative.trainable_variables, THETA)
    assign(inference.trainable_variables, PHI)
    return generative, inference


def log_bernoulli(value, logits):
    return value * logits - softplus(logits)


def log_concrete(point, logits, temperature):
    """Of the logit of a binary Concrete variable."""
    rest = logits - temperature * point
    return np.log(temperature) + rest - 2.0 * softplus(rest)


def objective(theta, phi, temperature, density, prior_temperature=None):
    """The mean over X of the relaxed objective, by quadrature over the noise."""
    total = 0.0
    for x in X:
        logit = (x @ phi[0] + phi[1])[0]
        point = (logit + LOGISTIC) / temperature
        value = sigmoid(point)
        likelihood = log_bernoulli(x, value[:, None] @ theta[0] + theta[1]).sum(axis=1)
        if density == "concrete":
            prior = log_concrete(point, 0.0, prior_temperature or temperature)
            inference = log_concrete(point, logit, temperature)
        else:
            prior, inference = log_bernoulli(value, 0.0), log_bernoulli(value, logit)
        total = total + np.mean(likelihood + prior - inference) / len(X)
    return total


def loss_gradient(temperature, density, **options):
    """Of minus the objective, for one joint player."""
    theta = testing.numeric_gradient(
        lambda p: -objective(p, PHI, temperature, density, **options), THETA
    )
    phi = testing.numeric_gradient(
        lambda p: -objective(THETA, p, temperature, density, **options), PHI
    )
    return {"joint": [*theta, *phi]}


def straight_through_gradient(temperature):
    """Expected update with hard values in the forward pass and relaxed ones in the derivative."""

    def parts(x, phi):
        logit = (x @ phi[0] + phi[1])[0]
        value = sigmoid((logit + LOGISTIC) / temperature)
        return logit, value, (value > 0.5).astype("float64")

    def for_theta(theta):
        total = 0.0
        for x in X:
            _, _, hard = parts(x, PHI)
            logits = hard[:, None] @ theta[0] + theta[1]
            total = total - np.mean(log_bernoulli(x, logits).sum(axis=1)) / len(X)
        return total

    def for_phi(phi):
        total = 0.0
        for x in X:
            logit, _, hard = parts(x, PHI)
            moved_logit, moved_value, _ = parts(x, phi)
            residual = x - sigmoid(hard[:, None] @ THETA[0] + THETA[1])
            slope = (residual @ THETA[0].T)[:, 0] - logit
            surrogate = slope * moved_value - log_bernoulli(hard, moved_logit)
            total = total - np.mean(surrogate) / len(X)
        return total

    theta = testing.numeric_gradient(for_theta, THETA)
    return {"joint": [*theta, *testing.numeric_gradient(for_phi, PHI)]}


def rule(temperature=0.7, **options):
    return dgm.GumbelSoftmax(*one_latent(), temperature=temperature, seed=0, **options)


def found(model, exact):
    return check(model, exact, X.astype("float32"), copies=1000)


@pytest.mark.parametrize("density", ["concrete", "discrete"])
def test_gradient_of_the_relaxed_objective_is_unbiased(density):
    model = rule(density=density)
    right = found(model, loss_gradient(0.7, density))
    assert right.passed(), right
    # Another temperature is another objective, and so is the other density.
    assert not found(model, loss_gradient(1.5, density)).passed()
    other = {"concrete": "discrete", "discrete": "concrete"}[density]
    assert not found(model, loss_gradient(0.7, other)).passed()


def test_prior_temperature_is_the_prior_s():
    model = rule(prior_temperature=0.4, num_samples=2)
    right = found(model, loss_gradient(0.7, "concrete", prior_temperature=0.4))
    assert right.passed(), right


def test_straight_through_has_hard_values_and_relaxed_derivatives():
    model = rule(straight_through=True)
    right = found(model, straight_through_gradient(0.7))
    assert right.passed(), right
    assert not found(model, loss_gradient(0.7, "discrete")).passed()


def test_the_relaxation_is_biased_for_the_discrete_bound():
    oracle, generative, inference = belief_network([3])
    model = dgm.GumbelSoftmax(generative, inference, temperature=1.0, seed=0)
    assert not check(model, joint(oracle.loss_gradient("elbo", BINARY))).passed()


def test_densities_equal_tfp():
    rng = np.random.default_rng(0)
    temperature = ops.convert_to_tensor(0.6)
    logits = {"logits": ops.convert_to_tensor(rng.normal(size=(5, 4)).astype("float32"))}
    point = relaxation.relaxed_point(
        Bernoulli((4,)), logits, (3,), temperature, dgm.backend.as_seed(1)
    )
    mine = relaxation.relaxed_log_prob(Bernoulli((4,)), logits, point, temperature)
    theirs = tfd.Logistic(logits["logits"] / temperature, 1.0 / temperature).log_prob(point)
    np.testing.assert_allclose(mine, ops.sum(theirs, axis=-1), rtol=1e-4, atol=1e-4)

    part = OneHotCategorical((2, 4))
    logits = {"logits": ops.convert_to_tensor(rng.normal(size=(5, 2, 4)).astype("float32"))}
    point = relaxation.relaxed_point(part, logits, (3,), temperature, dgm.backend.as_seed(1))
    mine = relaxation.relaxed_log_prob(part, logits, point, temperature)
    family = tfd.ExpRelaxedOneHotCategorical(temperature, logits=logits["logits"])
    np.testing.assert_allclose(mine, ops.sum(family.log_prob(point), axis=-1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        ops.sum(relaxation.relaxed_value(part, point), axis=-1), 1.0, rtol=1e-5
    )


@pytest.mark.parametrize("network", ["deep", "categorical"])
def test_draws_come_from_their_density(network):
    """E_q [p(h) / q(h | x)] = 1, for densities; mass functions at relaxed values miss it."""
    if network == "deep":
        _, generative, inference = belief_network([3, 2], scale=0.4)
    else:
        _, generative, inference = categorical_network()
        for variable in [*generative.trainable_variables, *inference.trainable_variables]:
            variable.assign(0.4 * variable)
    ratios = {}
    for density in ("concrete", "discrete"):
        model = dgm.GumbelSoftmax(
            generative, inference, num_samples=20000, temperature=0.8, density=density, seed=0
        )

        def ratio(x, seed, model=model):
            points, values, log_q = model.relaxed_draw(x, ops.convert_to_tensor(0.8), seed)
            log_prior = model.log_prior(points, values, ops.convert_to_tensor(0.8))
            return ops.exp(log_prior - log_q)

        ratios[density] = ops.convert_to_numpy(
            model.compiled_function("ratio", ratio)(BINARY, dgm.backend.as_seed(2))
        )
    error = ratios["concrete"].std(axis=0) / np.sqrt(20000)
    assert np.all(np.abs(ratios["concrete"].mean(axis=0) - 1.0) < 4.0 * error)
    assert np.all(error < 0.02)
    assert np.any(np.abs(ratios["discrete"].mean(axis=0) - 1.0) > 0.02)


def test_relaxed_values_tend_to_the_hard_ones():
    logits = {"logits": ops.convert_to_tensor([[0.5, -1.0, 2.0]])}
    for part in (Bernoulli((3,)), OneHotCategorical((3,))):
        gaps = []
        for temperature in (1.0, 0.01):
            point = relaxation.relaxed_point(
                part, logits, (500,), temperature, dgm.backend.as_seed(0)
            )
            hard = relaxation.hard_value(part, point)
            gap = ops.abs(relaxation.relaxed_value(part, point) - hard)
            gaps.append(float(ops.mean(gap)))
            means = ops.convert_to_numpy(relaxation.mean_from(part, logits))[0]
            np.testing.assert_allclose(ops.mean(hard, axis=(0, 1)), means, atol=0.08)
        assert gaps[1] < 0.01 < gaps[0]


def test_evaluation_is_on_hard_draws():
    oracle, generative, inference = belief_network([3, 2], scale=0.5)
    model = dgm.GumbelSoftmax(generative, inference, temperature=1.0, num_samples=50, seed=0)
    model.compile("sgd")
    assert "elbo" not in model.terms and "iw_bound" not in model.terms
    elbo = model.evaluate(np.repeat(BINARY, 200, axis=0), verbose=0, return_dict=True)["elbo"]
    assert elbo == pytest.approx(float(np.mean(oracle.elbo(BINARY))), abs=0.03)
    np.testing.assert_allclose(
        model.log_likelihood(BINARY, 5000), oracle.log_marginal(BINARY), atol=0.05
    )
    assert set(np.unique(model.infer(BINARY)[0])) <= {0.0, 1.0}


def test_the_schedule_follows_the_saved_steps(tmp_path):
    schedule = keras.optimizers.schedules.ExponentialDecay(1.0, 10, 0.5)
    model = rule(temperature=schedule)
    model.compile(keras.optimizers.SGD(0.0))
    x = np.repeat(X, 10, axis=0).astype("float32")
    model.fit(x, batch_size=4, epochs=2, verbose=0)
    assert float(ops.convert_to_numpy(model.temperature_step)) == 10.0
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    logged = again.fit(x, batch_size=20, verbose=0).history["temperature"][0]
    assert logged == pytest.approx(0.5)


def test_errors_say_what_to_do():
    generative, inference = one_latent()
    with pytest.raises(ValueError, match="bounds no likelihood. Make both relaxed"):
        dgm.VAE(generative, RelaxedBernoulli((1,)))
    relaxed = dgm.models.LatentVariableModel(RelaxedBernoulli((1,)), Bernoulli((2,)))
    with pytest.raises(ValueError, match="received RelaxedBernoulli. Give the discrete family"):
        dgm.GumbelSoftmax(relaxed, RelaxedBernoulli((1,)))
    with pytest.raises(ValueError, match="make them the same"):
        dgm.GumbelSoftmax(
            dgm.models.LatentVariableModel(Bernoulli((1, 2)), Bernoulli((2,))),
            OneHotCategorical((1, 2)),
        )
    with pytest.raises(ValueError, match="use density='discrete'"):
        rule(straight_through=True, density="concrete")
    with pytest.raises(ValueError, match="A temperature is positive; received 0.0"):
        rule(temperature=0.0)
    with pytest.raises(ValueError, match="Leave it out"):
        rule(density="discrete", prior_temperature=0.5)
