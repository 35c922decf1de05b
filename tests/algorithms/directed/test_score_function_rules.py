"""Rules that move phi along the score of q: REINFORCE, NVIL, MuProp, VIMCO."""

import keras
import numpy as np
import pytest
from discrete import BINARY, categorical_network, check, with_fixed_draws
from keras import ops
from oracles import belief_network, joint

import keras_dgm as dgm
from keras_dgm.algorithms.directed import vimco
from keras_dgm.algorithms.directed.layers import inference_parts
from keras_dgm.algorithms.directed.relaxation import mean_from
from keras_dgm.testing.numeric import log_sum_exp


def nvil(generative, inference, variances, cls=dgm.NVIL, **options):
    """NVIL some steps into its run: its averages say what they are told to."""
    model = cls(generative, inference, seed=0, **options)
    size = model.signal_mean.shape[0]
    model.signal_steps.assign(1.0)
    model.signal_mean.assign(np.full(size, -3.0))
    model.signal_variance.assign(np.array(variances[:size]))
    return model


@pytest.mark.parametrize("latents", [[3], [3, 2]])
@pytest.mark.parametrize("rule", ["reinforce", "global", "local", "muprop"])
def test_gradient_of_the_elbo_is_unbiased(rule, latents):
    oracle, generative, inference = belief_network(latents)
    if rule == "reinforce":
        model = dgm.VariationalREINFORCE(generative, inference, num_samples=2, seed=0)
    elif rule == "muprop":
        model = dgm.MuProp(generative, inference, seed=0)
    else:
        model = nvil(generative, inference, [0.5, 0.5], local_signals=rule == "local")
    found = check(model, joint(oracle.loss_gradient("elbo", BINARY)))
    assert found.passed(), found


@pytest.mark.parametrize("latents,num_samples", [([3], 3), ([3, 2], 2)])
def test_vimco_is_unbiased_for_the_bound(latents, num_samples):
    oracle, generative, inference = belief_network(latents)
    model = dgm.VIMCO(generative, inference, num_samples=num_samples, seed=0)
    exact = joint(oracle.loss_gradient("iw_bound", BINARY, num_samples=num_samples))
    found = check(model, exact)
    assert found.passed(), found


@pytest.mark.parametrize("rule", ["muprop", "vimco"])
def test_categorical_latents_and_a_learned_prior(rule):
    oracle, generative, inference = categorical_network()
    if rule == "muprop":
        model, exact = (
            dgm.MuProp(generative, inference, seed=0),
            oracle.loss_gradient("elbo", BINARY),
        )
    else:
        model = dgm.VIMCO(generative, inference, num_samples=2, seed=0)
        exact = oracle.loss_gradient("iw_bound", BINARY, num_samples=2)
    exact["generative"][0] = exact["generative"][0].reshape(generative.latent_shape)
    found = check(model, joint(exact))
    assert found.passed(), found


def test_nvil_scales_each_layer_by_its_own_deviation():
    oracle, generative, inference = belief_network([3, 2])
    model = nvil(generative, inference, [9.0, 4.0])
    exact = oracle.loss_gradient("elbo", BINARY)
    unscaled = check(model, joint(exact))
    assert not unscaled.passed()
    first, second = exact["inference"][:2], exact["inference"][2:]
    exact["inference"] = [g / 3.0 for g in first] + [g / 2.0 for g in second]
    found = check(model, joint(exact))
    assert found.passed(), found


class _ShortSignal(dgm.NVIL):
    """Wrong: the upper layer's signal without log p(h_1 | h_2), which its draw does change."""

    def signals(self, log_likelihood, log_priors, log_qs):
        first, second = super().signals(log_likelihood, log_priors, log_qs)
        return [first, second - ops.stop_gradient(log_priors[0])]


class _JointLinearTerm(dgm.MuProp):
    """Wrong: one linear term for all layers."""

    def linear_terms(self, slopes, differences):
        terms = super().linear_terms(slopes, differences)
        return [sum(terms)] * len(terms)


class _MeanFieldLogits(dgm.MuProp):
    """Wrong: the compensation at the mean-field parents in place of the sampled ones."""

    def compensation(self, slopes, layers):
        context, total = layers[0].context, 0.0
        for part, slope in zip(inference_parts(self.inference), slopes):
            mean = mean_from(part, part(context))
            total = total + ops.mean(ops.sum(slope * mean, axis=-1))
            context = ops.stop_gradient(mean)
        return total


class _NoCompensation(dgm.MuProp):
    """Wrong: the linear term is taken off and not given back."""

    def compensation(self, slopes, layers):
        return 0.0


@pytest.mark.parametrize("cls", [_ShortSignal, _JointLinearTerm, _MeanFieldLogits, _NoCompensation])
def test_the_check_rejects_wrong_control_variates(cls):
    oracle, generative, inference = belief_network([3, 2], scale=1.5)
    if issubclass(cls, dgm.NVIL):
        model = nvil(generative, inference, [0.5, 0.5], cls=cls)
    else:
        model = cls(generative, inference, seed=0)
    assert not check(model, joint(oracle.loss_gradient("elbo", BINARY))).passed()


def _averaged(log_weights):
    """Wrong: makes the score's sum over k an average."""
    bound = ops.logsumexp(log_weights, axis=0) - np.log(log_weights.shape[0])
    right = _right_bounds(log_weights)
    return bound - (bound - right) / log_weights.shape[0]


def _own_included(log_weights):
    """Wrong: the replacement is the mean of all, the draw's own among them."""
    mean = ops.mean(log_weights, axis=0, keepdims=True)
    return ops.broadcast_to(mean, ops.shape(log_weights))


_right_bounds = vimco.leave_one_out_bounds


@pytest.mark.parametrize("wrong", [_averaged, _own_included])
def test_the_check_rejects_wrong_leave_one_out_signals(wrong, monkeypatch):
    oracle, generative, inference = belief_network([3])
    monkeypatch.setattr(vimco, "leave_one_out_bounds", wrong)
    model = dgm.VIMCO(generative, inference, num_samples=2, seed=0)
    exact = joint(oracle.loss_gradient("iw_bound", BINARY, num_samples=2))
    assert not check(model, exact).passed()


def test_a_centred_single_sample_elbo_is_not_vimco():
    oracle, generative, inference = belief_network([3])
    model = dgm.VariationalREINFORCE(generative, inference, num_samples=2, seed=0)
    exact = joint(oracle.loss_gradient("iw_bound", BINARY, num_samples=2))
    assert not check(model, exact).passed()


def _linear_baseline():
    network = dgm.networks.mlp([], output_units=1)
    network.build((None, 4))
    kernel, bias = network.trainable_variables
    kernel.assign(np.array([[0.5], [-1.0], [0.3], [0.2]]))
    bias.assign([-1.0])
    return network


def _baseline_gradient(oracle, centre):
    """Of the mean of (l - b(x) - c)^2 in the linear baseline's kernel and bias."""
    kernel, bias = np.array([0.5, -1.0, 0.3, 0.2]), -1.0
    residual = oracle.elbo(BINARY) - (BINARY @ kernel + bias) - centre
    slope = -2.0 * residual[:, None] * np.c_[BINARY, np.ones(len(BINARY))]
    slope = slope.mean(axis=0)
    return {"baseline": [slope[:4, None], slope[4:]]}


def test_the_baseline_learns_from_its_squared_loss_alone():
    oracle, generative, inference = belief_network([3])
    model = nvil(generative, inference, [4.0], baseline=_linear_baseline())
    found = check(model, _baseline_gradient(oracle, -3.0))
    assert found.passed(), found
    assert not check(model, _baseline_gradient(oracle, 0.0)).passed()


def test_the_bound_gives_the_baseline_nothing():
    """With a residual of zero the baseline's gradient vanishes; a leak from the bound would not."""
    oracle, generative, _ = belief_network([3])
    inference, states = with_fixed_draws(oracle, 1)
    signal = np.array([oracle.log_weights(x)[s] for x, s in zip(BINARY, states[0])])
    network = dgm.networks.mlp([], output_units=1)
    network.build((None, 4))
    kernel, bias = network.trainable_variables
    kernel.assign(np.linalg.lstsq(BINARY, signal[:, None], rcond=None)[0])
    model = nvil(generative, inference, [0.5], baseline=network)
    model.signal_mean.assign([0.0])
    gradients = model.estimate_gradients(BINARY)
    for gradient in gradients["baseline"]:
        np.testing.assert_allclose(gradient, 0.0, atol=1e-4)
    # Nor does the baseline give anything to phi: the score is multiplied by zero.
    for gradient in gradients["joint"][-2:]:
        np.testing.assert_allclose(gradient, 0.0, atol=1e-4)


def test_muprop_fits_its_baseline_to_the_residual():
    oracle, generative, inference = belief_network([3])
    model = dgm.MuProp(generative, inference, baseline=_linear_baseline(), seed=0)
    model.compile({"joint": keras.optimizers.SGD(0.0), "baseline": keras.optimizers.Adam(0.05)})
    before = model.fit(np.repeat(BINARY, 50, axis=0), verbose=0).history["baseline_loss"][0]
    after = model.fit(np.repeat(BINARY, 50, axis=0), verbose=0, epochs=30).history["baseline_loss"]
    assert after[-1] < 0.7 * before


def test_running_averages_follow_their_formula():
    oracle, generative, _ = belief_network([3])
    inference, states = with_fixed_draws(oracle, 1)
    model = dgm.NVIL(generative, inference, baseline=_linear_baseline(), decay=0.8, seed=0)
    model.compile(keras.optimizers.SGD(0.0))
    x = BINARY
    signal = np.array([oracle.log_weights(row)[s] for row, s in zip(x, states[0])])
    centred = signal - (x @ np.array([0.5, -1.0, 0.3, 0.2]) - 1.0)
    model.fit(x, batch_size=2, shuffle=False, verbose=0)
    # The first step starts the averages; later ones mix. With the same draws nothing moves.
    for _ in range(2):
        np.testing.assert_allclose(model.signal_mean[0], centred.mean(), rtol=1e-5)
        np.testing.assert_allclose(model.signal_variance[0], centred.var(), rtol=1e-4)
        model.fit(x, batch_size=2, shuffle=False, verbose=0)
    model.signal_mean.assign([0.0])
    model.fit(x, batch_size=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.signal_mean[0], 0.2 * centred.mean(), rtol=1e-5)


def test_control_variates_lower_the_variance():
    oracle, generative, inference = belief_network([3], scale=1.5)

    def variance(model):
        draws = [model.estimate_gradients(BINARY, seed)["joint"] for seed in range(200)]
        phi = np.array([np.concatenate([g.ravel() for g in draw[-2:]]) for draw in draws])
        return phi.var(axis=0).sum()

    plain = variance(dgm.VariationalREINFORCE(generative, inference, seed=0))
    assert variance(dgm.MuProp(generative, inference, seed=0)) < 0.5 * plain
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vimco, "leave_one_out_bounds", ops.zeros_like)
        uncontrolled = variance(dgm.VIMCO(generative, inference, num_samples=5, seed=0))
    assert variance(dgm.VIMCO(generative, inference, num_samples=5, seed=0)) < 0.5 * uncontrolled


def _scores(oracle, states):
    """Log-weights (K, B) and scores of both sides (K, B, parameters) at the given states."""
    log_weights, theta, phi = [], [], []
    for b, x in enumerate(BINARY):
        x = x.astype("float64")
        log_weights.append(oracle.log_weights(x)[states[:, b]])
        theta.append(oracle.generative_scores(x)[states[:, b]])
        phi.append(oracle.inference_scores(x)[states[:, b]])
    return (np.stack(parts, axis=1) for parts in (log_weights, theta, phi))


def _flat(gradients):
    return np.concatenate([g.ravel() for g in gradients])


@pytest.mark.parametrize("rule", ["reinforce", "nvil", "vimco"])
def test_gradients_equal_float64_arithmetic_on_the_same_draws(rule):
    """Both backends are held to the same figures, so they agree with each other."""
    oracle, generative, _ = belief_network([3, 2])
    num_samples = 3
    inference, states = with_fixed_draws(oracle, num_samples)
    log_weights, theta, phi = _scores(oracle, states)
    uniform = np.full(log_weights.shape, 1.0 / num_samples)
    if rule == "reinforce":
        model = dgm.VariationalREINFORCE(generative, inference, num_samples=num_samples, seed=0)
        for_theta, for_phi = uniform, log_weights[..., None] / num_samples
    elif rule == "nvil":
        # A baseline of zero: kernels and biases of the last layers.
        networks = [dgm.networks.mlp([], output_units=1) for _ in range(2)]
        model = nvil(generative, inference, [9.0, 4.0], baseline=networks, num_samples=num_samples)
        for network in model.baselines:
            for variable in network.trainable_variables:
                variable.assign(np.zeros(variable.shape))
        h1, h2 = (part.values for part in inference.parts)
        upper = _upper_signal(oracle, h1, h2)
        first = 4 * 3 + 3
        for_phi = np.concatenate(
            [
                np.repeat((log_weights + 3.0)[..., None] / 3.0, first, axis=2),
                np.repeat((upper + 3.0)[..., None] / 2.0, phi.shape[2] - first, axis=2),
            ],
            axis=2,
        )
        for_theta, for_phi = uniform, for_phi / num_samples
    else:
        model = dgm.VIMCO(generative, inference, num_samples=num_samples, seed=0)
        normalized = np.exp(log_weights - log_sum_exp(log_weights, axis=0))
        bound = log_sum_exp(log_weights, axis=0) - np.log(num_samples)
        without = np.empty_like(log_weights)
        for k in range(num_samples):
            replaced = log_weights.copy()
            replaced[k] = np.delete(log_weights, k, axis=0).mean(axis=0)
            without[k] = log_sum_exp(replaced, axis=0) - np.log(num_samples)
        for_theta = normalized
        for_phi = (bound - without - normalized)[..., None]
    rows = len(BINARY)
    exact = [
        -np.sum(for_theta[..., None] * theta, axis=(0, 1)) / rows,
        -np.sum(for_phi * phi, axis=(0, 1)) / rows,
    ]
    found = _flat(model.estimate_gradients(BINARY)["joint"])
    exact = np.concatenate(exact)
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())


def _upper_signal(oracle, h1, h2):
    """log p(h_1 | h_2) + log p(h_2) - log q(h_2 | h_1), (K, B)."""
    top, downward, upward = oracle.inference_layers[1], oracle.layers[0], oracle.inference_layers[1]
    shape = h1.shape[:2]
    h1, h2 = h1.reshape(-1, h1.shape[-1]), h2.reshape(-1, h2.shape[-1])
    value = downward.log_prob(h1, h2) + top.log_prob_of_logits(h2, oracle.prior_logits)
    return (value - upward.log_prob(h2, h1)).reshape(shape)


def test_reinforce_is_the_score_function_of_vae():
    _, generative, inference = belief_network([3, 2])
    named = dgm.VariationalREINFORCE(generative, inference, num_samples=2, seed=0)
    vae = dgm.VAE(generative, inference, estimator="score_function", num_samples=2, seed=0)
    pairs = zip(named.estimate_gradients(BINARY)["joint"], vae.estimate_gradients(BINARY)["joint"])
    for mine, other in pairs:
        np.testing.assert_array_equal(mine, other)
    assert "estimator" not in named.get_config()


def test_the_loss_of_vimco_is_the_bound_and_no_surrogate():
    oracle, generative, _ = belief_network([3])
    inference, states = with_fixed_draws(oracle, 3)
    model = dgm.VIMCO(generative, inference, num_samples=3, seed=0)
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit(BINARY, batch_size=2, shuffle=False, verbose=0).history
    log_weights, _, _ = _scores(oracle, states)
    bound = np.mean(log_sum_exp(log_weights, axis=0) - np.log(3))
    assert history["iw_bound"][0] == pytest.approx(bound, rel=1e-5)
    assert history["loss"][0] == pytest.approx(-bound, rel=1e-5)
    assert history["elbo"][0] == pytest.approx(np.mean(log_weights), rel=1e-5)


def test_errors_say_what_to_do():
    _, generative, inference = belief_network([3, 2])
    with pytest.raises(ValueError, match="2 at least; received 1"):
        dgm.VIMCO(generative, inference, num_samples=1)
    with pytest.raises(ValueError, match="`decay` lies in"):
        dgm.NVIL(generative, inference, decay=1.0)
    with pytest.raises(ValueError, match="2 baselines are needed"):
        dgm.NVIL(generative, inference, baseline=dgm.networks.mlp([], output_units=1))
    with pytest.raises(ValueError, match="one number a row"):
        dgm.MuProp(generative, inference, baseline=dgm.networks.mlp([], output_units=2))
    generative, inference = dgm.models.deep_latent_gaussian_model([2], (4,), hidden_units=None)
    with pytest.raises(ValueError, match="Bernoulli or OneHotCategorical; received Normal"):
        dgm.MuProp(generative, inference)
