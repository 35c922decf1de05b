"""Flows: inversion, log-determinants, densities, scores, files."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_dgm as dgm
from keras_dgm import backend
from keras_dgm.backend import tfb
from keras_dgm.distributions import Bernoulli, MultivariateNormal, Normal, flows

BUILDERS = {
    "planar": lambda base: flows.planar_flow(base, 2),
    "nice": lambda base: flows.nice(base, 3, [8]),
    "real_nvp": lambda base: flows.real_nvp(base, 2, [8]),
    "iaf": lambda base: flows.inverse_autoregressive_flow(base, 2, [8]),
    "maf": lambda base: flows.masked_autoregressive_flow(base, 2, [8]),
    "reverse": lambda base: flows.Flow(base, [flows.Reverse(), flows.DiagonalScaling()]),
}


def made(name, event_shape=(3,), context_size=None, scale=0.4):
    """A flow with random weights, the same on every backend."""
    flow = BUILDERS[name](Normal(event_shape))
    flow.build(None if context_size is None else (None, context_size))
    shake(flow, scale)
    return flow


def shake(layer, scale=0.4):
    rng = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        variable.assign(scale * rng.normal(size=variable.shape).astype("float32"))


def compiled(layer, fn):
    program = backend.compiled(layer, fn)
    return lambda *args: keras.tree.map_structure(ops.convert_to_numpy, program(*args))


@pytest.mark.parametrize(
    ("name", "conditional"),
    [(name, name in ("planar", "real_nvp", "iaf")) for name in BUILDERS] + [("planar", False)],
)
def test_inverts_and_its_log_determinant_is_the_jacobians(name, conditional):
    flow = made(name, context_size=2 if conditional else None)
    rng = np.random.default_rng(1)
    z = rng.normal(size=(6, 3)).astype("float32")
    context = rng.normal(size=(6, 2)).astype("float32") if conditional else None

    def look(z):
        parameters = flow(context) if conditional else flow()
        y, log_det = flow.forward_and_log_det(parameters, z)
        back, inverse_log_det = flow.inverse_and_log_det(parameters, y)
        rows = [
            backend.value_and_input_grad(
                lambda z, i=i: flow.forward_and_log_det(parameters, z)[0][..., i], z
            )[1]
            for i in range(3)
        ]
        return y, log_det, back, inverse_log_det, ops.stack(rows, axis=1)

    y, log_det, back, inverse_log_det, jacobian = compiled(flow, look)(ops.convert_to_tensor(z))
    assert np.max(np.abs(y - z)) > 0.1
    np.testing.assert_allclose(back, z, atol=2e-4)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], atol=2e-5)
    np.testing.assert_allclose(inverse_log_det, log_det, atol=2e-4)


@pytest.mark.parametrize("name", ["planar", "real_nvp", "iaf"])
def test_densities_integrate_to_one(name):
    flow = made(name, (2,), scale=0.25)
    line = np.linspace(-12.0, 12.0, 301, dtype="float32")
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    log_prob = compiled(flow, flow.log_prob)(ops.convert_to_tensor(grid))
    assert np.sum(np.exp(log_prob)) * (line[1] - line[0]) ** 2 == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("name", ["planar", "iaf"])
def test_draws_carry_their_density(name):
    """Draws with gradients, draws held constant and densities of given values agree."""
    flow = made(name, context_size=2, scale=0.2)
    context = ops.convert_to_tensor(np.random.default_rng(2).normal(size=(5, 2)).astype("float32"))

    def look(context):
        y, free = flow.sample_and_log_prob(context, (4,), seed=3)
        same, held = flow.sample_and_log_prob(context, (4,), seed=3, stop_gradient=True)
        given = flow.log_prob(y, context)
        tfp = flow.distribution(context).log_prob(y)
        return y, same, free, held, given, tfp, flow.sample(context, (4,), seed=3)

    y, same, free, *others, sample = compiled(flow, look)(context)
    assert y.shape == (4, 5, 3) and free.shape == (4, 5)
    np.testing.assert_array_equal(y, same)
    np.testing.assert_array_equal(y, sample)
    for log_prob in others:
        np.testing.assert_allclose(log_prob, free, atol=3e-4)


@pytest.mark.parametrize("name", ["planar", "iaf"])
def test_scores_at_fixed_values(monkeypatch, name):
    """The gradient of log q at a held draw, through the inverse, against differences."""
    flow = made(name, scale=0.3)
    value = ops.convert_to_tensor(np.random.default_rng(3).normal(size=(4, 3)).astype("float32"))
    variables = flow.trainable_variables

    def loss():
        return ops.sum(flow.log_prob(value)), None

    evaluate = compiled(flow, lambda: loss()[0])
    score = compiled(flow, lambda: backend.value_and_grad(loss, variables)[1])()
    rng = np.random.default_rng(4)
    direction = [0.3 * rng.normal(size=v.shape).astype("float32") for v in variables]
    start = [np.array(ops.convert_to_numpy(v), copy=True) for v in variables]
    ends = []
    for step in (1e-2, -1e-2):
        for variable, at, along in zip(variables, start, direction):
            variable.assign(at + step * along)
        ends.append(float(evaluate()))
    for variable, at in zip(variables, start):
        variable.assign(at)
    expected = (ends[0] - ends[1]) / 2e-2
    found = sum(np.sum(g * d) for g, d in zip(score, direction))
    assert found == pytest.approx(expected, rel=2e-2, abs=2e-2)
    if name == "planar":
        # Wrong: the root found is held constant.
        solve = flows.Planar._solve
        monkeypatch.setattr(flows.Planar, "_solve", lambda *args: ops.stop_gradient(solve(*args)))
        wrong = compiled(flow, lambda: backend.value_and_grad(loss, variables)[1])()
        wrong = sum(np.sum(g * d) for g, d in zip(wrong, direction))
        assert abs(wrong - expected) > 10 * abs(found - expected) + 0.05


def test_affine_coupling_is_tfps_real_nvp():
    step = flows.AffineCoupling([8])
    step.build(5)
    shake(step)
    reference = tfb.RealNVP(
        num_masked=2, shift_and_log_scale_fn=lambda kept, size: step._shift_and_log_scale(kept, {})
    )
    z = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(4, 5)).astype("float32"))
    y, log_det = step.forward_and_log_det(z, {})
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (y, reference.forward(z))), atol=1e-5)
    expected = reference.forward_log_det_jacobian(z, event_ndims=1)
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (log_det, expected)), atol=1e-5)


def test_inverse_autoregressive_steps_look_back_only():
    for right_to_left in (False, True):
        step = flows.InverseAutoregressive([16], right_to_left=right_to_left)
        step.build(4)
        shake(step)

        z = np.random.default_rng(0).normal(size=(1, 4)).astype("float32")
        z = np.concatenate([z, z + np.eye(4, dtype="float32")])
        program = compiled(step, lambda z, step=step: step.forward_and_log_det(z, {})[0])
        y = program(ops.convert_to_tensor(z))
        for i in range(4):
            changed = y[1 + i] != y[0]
            allowed = np.arange(4) <= i if right_to_left else np.arange(4) >= i
            assert changed[i] and not np.any(changed & ~allowed)


def test_planar_steps_stay_invertible_where_the_free_ones_are_not():
    step = flows.Planar()
    step.build(2)
    parameters = {
        "u": ops.convert_to_tensor(np.array([-4.0, 0.5], "float32")),
        "w": ops.convert_to_tensor(np.array([2.0, 0.1], "float32")),
        "b": ops.convert_to_tensor(np.array([0.3], "float32")),
    }
    z = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(50, 2)).astype("float32"))
    y, log_det = step.forward_and_log_det(z, parameters)
    assert np.isfinite(ops.convert_to_numpy(log_det)).all()
    back, _ = step.inverse_and_log_det(y, parameters)
    again, _ = step.forward_and_log_det(back, parameters)
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (again, y)), atol=1e-3)


def test_any_continuous_base_and_event_shape():
    flow = flows.real_nvp(MultivariateNormal((4,), scale="shared"), 2, [5])
    flow.build((None, 3))
    assert {v.path.split("/")[-1] for v in flow.base.trainable_variables} >= {"raw_scale"}
    image = flows.planar_flow(Normal((2, 2, 1), learned=True), 2)
    image.build()
    draw, log_prob = compiled(image, lambda: image.sample_and_log_prob(None, (6,), seed=0))()
    assert draw.shape == (6, 2, 2, 1) and log_prob.shape == (6,)
    assert len(image.trainable_variables) == 2 + 2 * 3


def model(posterior):
    generative = dgm.models.LatentVariableModel(Normal((3,)), Bernoulli((5,)))
    return dgm.VAE(generative, posterior, num_samples=2, seed=0)


def rows(num_rows):
    return (np.random.default_rng(0).random((num_rows, 5)) < 0.4).astype("float32")


def test_as_posterior_in_a_file(tmp_path):
    network = dgm.networks.mlp([6])
    vae = model(flows.inverse_autoregressive_flow(Normal((3,), network=network), 2, [7]))
    vae.compile("adam")
    variables = vae.inference.trainable_variables
    before = [np.array(ops.convert_to_numpy(v), copy=True) for v in variables]
    vae.fit(rows(32), batch_size=16, epochs=2, verbose=0)
    still = [v.path for v, b in zip(variables, before) if np.all(ops.convert_to_numpy(v) == b)]
    assert not still
    vae.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    x = rows(8)
    np.testing.assert_array_equal(
        vae.log_likelihood(x, num_samples=5), again.log_likelihood(x, num_samples=5)
    )
    terms = vae.evaluate(x, return_dict=True, verbose=0)
    assert "elbo" in terms and "active_units" not in terms


def test_the_encoder_is_evaluated_once(monkeypatch):
    network = dgm.networks.mlp([6])
    flow = flows.planar_flow(Normal((3,), network=network), 3)
    flow.build((None, 5))
    calls = []
    dense = network.layers[-1]
    monkeypatch.setattr(
        dense, "call", lambda x, call=dense.call, **kw: calls.append(1) or call(x, **kw)
    )
    x = ops.convert_to_tensor(rows(4))
    compiled(flow, lambda x: flow.sample_and_log_prob(x, (7,), seed=0, stop_gradient=True))(x)
    assert len(calls) == 1


def test_flow_prior_and_rules_that_hold_draws():
    """A flow as learned prior, and as posterior of JSA, whose score needs the inverse."""
    prior = flows.real_nvp(Normal((3,)), 2, [5])
    generative = dgm.models.LatentVariableModel(prior, Bernoulli((5,)))
    jsa = dgm.JSA(generative, flows.planar_flow(Normal((3,)), 2), 16, num_samples=2, seed=0)
    jsa.compile("adam")
    jsa.fit(rows(16), batch_size=8, epochs=1, verbose=0)
    assert np.isfinite(jsa.evaluate(rows(8), return_dict=True, verbose=0)["iw_bound"])


def test_errors():
    with pytest.raises(ValueError, match="discrete"):
        flows.planar_flow(Bernoulli((3,)))
    with pytest.raises(ValueError, match="one at least"):
        flows.Flow(Normal((3,)), [])
    step = flows.Planar()
    with pytest.raises(ValueError, match="stands twice"):
        flows.Flow(Normal((3,)), [step, step])
    with pytest.raises(ValueError, match="length 2 at least"):
        flows.real_nvp(Normal((1,))).build()
    with pytest.raises(ValueError, match="num_steps"):
        flows.nice(Normal((3,)), 0)
    with pytest.raises(ValueError, match="max_log_scale"):
        flows.real_nvp(Normal((3,)), max_log_scale=0.0)
    with pytest.raises(AttributeError, match="no closed form"):
        _ = made("planar").mean
