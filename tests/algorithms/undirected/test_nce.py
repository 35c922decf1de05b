"""NCE and dynamic NCE against numerical integration."""

import keras
import numpy as np
import pytest
from keras import ops
from neural_fields import normal_field, plane_field, values
from scipy import optimize

import keras_dgm as dgm
from keras_dgm import datasets, distributions, testing

GRID = np.linspace(-12.0, 12.0, 2401)
CELL = GRID[1] - GRID[0]
DATA = (0.5, 0.8)


def fixed_noise(shape=1, standard_deviation=1.5):
    return distributions.Normal(shape, scale=standard_deviation)


def learned_noise(shape=1):
    return distributions.Normal(shape, learned=True)


def rows(count=512, seed=0):
    draws = np.random.default_rng(seed).normal(*DATA, (count, 1))
    return draws.astype("float32")


def grid_log_prob(layer):
    points = ops.convert_to_tensor(GRID[:, None].astype("float32"))
    return np.float64(ops.convert_to_numpy(layer.log_prob(points)))


def exact_gradient(log_data, log_noise, parameters, **options):
    """Of the field's loss in (log Z, linear, log precision), by quadrature."""

    def loss(parameters):
        constant, linear, log_precision = parameters
        log_model = linear * GRID - 0.5 * np.exp(log_precision) * GRID**2 - constant
        name = testing.dynamic_nce_loss if "data_share" in options else testing.nce_loss
        return name(log_data, log_model, log_noise, spacing=CELL, **options)

    return testing.numeric_gradient(loss, np.array(parameters))


def check(algorithm, parameters, exact, num_draws=80, size=4000):
    """Compares the mean gradient at these parameters, over fresh data each draw."""
    for variable, value in zip(algorithm.field.trainable_variables, parameters, strict=True):
        variable.assign(value)
    names = [v.path.split("/")[-1] for v in algorithm.field.trainable_variables]
    assert names == ["log_partition", "linear", "log_precision"]

    def draw(number):
        x = rows(size, seed=number)
        return [np.float64(g) for g in algorithm.estimate_gradients(x, number)["field"]]

    return testing.check_gradient_estimator(draw, [np.array(e) for e in exact], num_draws)


PARAMETERS = (0.7, 0.3, 0.2)


@pytest.mark.parametrize("noise_ratio", [1.0, 2.5])
def test_gradient_has_the_mean_of_the_oracle(noise_ratio):
    model = dgm.NCE(normal_field(), fixed_noise(), noise_ratio=noise_ratio, seed=0)
    log_data = testing.normal_log_prob(GRID, *DATA)
    log_noise = testing.normal_log_prob(GRID, 0.0, 1.5)
    exact = exact_gradient(log_data, log_noise, PARAMETERS, noise_ratio=noise_ratio)
    report = check(model, PARAMETERS, exact)
    assert report.passed(), report


class _RatioInTheLossAlone(dgm.NCE):
    """Wrong: nu weighs the noise's term and is missing in the posterior."""

    def contrast(self, data_logit, noise_logit):
        log_ratio = np.log(self.noise_ratio)
        return super().contrast(data_logit + log_ratio, noise_logit + log_ratio)


def test_the_check_rejects_a_ratio_left_out_of_the_posterior():
    model = _RatioInTheLossAlone(normal_field(), fixed_noise(), noise_ratio=2.5, seed=0)
    log_data = testing.normal_log_prob(GRID, *DATA)
    log_noise = testing.normal_log_prob(GRID, 0.0, 1.5)
    exact = exact_gradient(log_data, log_noise, PARAMETERS, noise_ratio=2.5)
    assert not check(model, PARAMETERS, exact, num_draws=30).passed()


def test_dynamic_gradients_have_the_means_of_the_oracle():
    noise = learned_noise()
    options = {"noise_ratio": 1.5, "data_share": 0.4}
    model = dgm.DynamicNCE(normal_field(), noise, seed=0, **options)
    noise.trainable_variables[0].assign([0.3])
    log_data, log_noise = testing.normal_log_prob(GRID, *DATA), grid_log_prob(noise)
    exact = exact_gradient(log_data, log_noise, PARAMETERS, **options)
    report = check(model, PARAMETERS, exact)
    assert report.passed(), report
    # Without the mixture the same draws miss the dynamic rule's gradient.
    plain = dgm.DynamicNCE(normal_field(), noise, noise_ratio=1.5, data_share=1.0, seed=0)
    assert not check(plain, PARAMETERS, exact, num_draws=30).passed()
    # The noise follows the maximum of its likelihood of the data.
    x = rows(100)
    mean, scale = 0.3, 1.0
    found = model.estimate_gradients(x, 0)["noise"]
    z = (x - mean) / scale
    slope = 1.0 - np.exp(-scale)  # of softplus at its value 1
    expected = {"loc": -z.mean() / scale, "raw_scale": -(z**2 - 1.0).mean() / scale * slope}
    for variable, gradient in zip(noise.trainable_variables, found):
        assert gradient[0] == pytest.approx(expected[variable.path.split("/")[-1]], rel=1e-4)


def test_the_objective_is_the_bound_of_an_f_divergence():
    """Ou 2019, App. B: E_data T - E_noise f*(T) = J - nu log nu, f* taken numerically."""
    nu = 2.0
    model = dgm.NCE(normal_field(), fixed_noise(), noise_ratio=nu, seed=0)
    for variable, value in zip(model.field.trainable_variables, PARAMETERS):
        variable.assign(value)
    x, noise = rows(8), np.random.default_rng(1).normal(0.0, 1.5, (16, 1)).astype("float32")

    def log_noise(x):
        return testing.normal_log_prob(x[:, 0], 0.0, 1.5).astype("float32")

    loss, _ = model.nce_loss(x, log_noise(x), noise, log_noise(noise))

    def statistic(x):
        log_ratio = model.log_prob(x) - log_noise(x)
        return log_ratio - np.logaddexp(log_ratio, np.log(nu))

    def conjugate(t):
        def negative(log_u):
            u = np.exp(log_u)
            return -(u * t - u * np.log(u) + (u + nu) * np.log(u + nu))

        return -optimize.minimize_scalar(negative, bounds=(-20.0, 20.0), method="bounded").fun

    bound = statistic(x).mean() - np.mean([conjugate(t) for t in statistic(noise)])
    objective = -float(ops.convert_to_numpy(loss))
    assert bound == pytest.approx(objective - nu * np.log(nu), abs=1e-4)
    assert abs(bound - objective) > 1.0


def test_log_partition_of_a_gaussian():
    field = normal_field(mean=0.2, variance=1.3)
    model = dgm.NCE(field, fixed_noise(), noise_ratio=4.0, seed=0)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 600)))
    x = rows(20_000)
    model.fit(np.tile(x, (10, 1)), batch_size=2_000, epochs=6, verbose=0)
    grid = testing.GridDensity(model.potential, [(-12.0, 12.0)], num_points=801, dtype="float32")
    assert model.log_partition == pytest.approx(grid.log_partition, abs=0.05)
    assert grid.log_partition > 0.5  # c began at zero
    found = model.evaluate(x, batch_size=2_000, verbose=0, return_dict=True)
    exact = testing.normal_log_prob(x[:, 0], *DATA).mean()
    assert found["log_prob"] == pytest.approx(exact, abs=0.03)
    np.testing.assert_allclose(model.log_prob(x[:5]), field.log_prob(x[:5]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("toy", ["two_moons", "pinwheel"])
def test_log_partition_of_the_plane_toys(toy):
    """NCE for one, DynamicNCE for the other; both against the integral over a grid."""
    # c is log Z where the field can be the data's law; one too stiff for it is not normalised.
    if toy == "two_moons":
        data = datasets.load(toy, num_train=4_000, noise=0.2).train.images
        epochs, field, noise = 150, plane_field(hidden_units=[64]), fixed_noise(2, 1.2)
        model = dgm.NCE(field, noise, noise_ratio=3.0, seed=0)
    else:
        data = datasets.load(toy, num_train=4_000).train.images
        epochs, field, noise = 400, plane_field(hidden_units=[32]), learned_noise(2)
        model = dgm.DynamicNCE(field, noise, noise_ratio=2.0, seed=0)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.02, 4 * epochs)))
    model.fit(np.tile(data, (10, 1)), batch_size=1_000, epochs=epochs // 10, verbose=0)
    bounds = [(-8.0, 8.0)] * 2
    grid = testing.GridDensity(model.potential, bounds, num_points=201, dtype="float32")
    assert model.log_partition == pytest.approx(grid.log_partition, abs=0.05)
    # The field is not the noise: it has learned the shape.
    noise = ops.convert_to_numpy(model.noise.log_prob(ops.convert_to_tensor(data)))
    assert model.log_prob(data).mean() > noise.mean() + 0.1


@pytest.mark.parametrize("dynamic", [False, True])
def test_file_round_trip(tmp_path, dynamic):
    kind, noise = (dgm.DynamicNCE, learned_noise()) if dynamic else (dgm.NCE, fixed_noise())
    model = kind(normal_field(), noise, noise_ratio=1.5, seed=3)
    model.compile("adam")
    x = rows(64)
    model.fit(x, batch_size=32, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.log_partition == model.log_partition != 0.0
    model.fit(x, batch_size=32, verbose=0)
    again.fit(x, batch_size=32, verbose=0)
    for one, other in zip(values(model.variables), values(again.variables), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="must cover all of an x"):
        dgm.NCE(normal_field(size=2), fixed_noise(1))
    with pytest.raises(ValueError, match="must cover all of an x"):
        dgm.NCE(normal_field(size=1), distributions.Chain([fixed_noise(1), fixed_noise(1)]))
    conditional = distributions.Normal(1)
    conditional.build((None, 3))
    with pytest.raises(ValueError, match="needs a context"):
        dgm.NCE(normal_field(), conditional)
    with pytest.raises(ValueError, match="noise_ratio"):
        dgm.NCE(normal_field(), fixed_noise(), noise_ratio=0.0)
    with pytest.raises(ValueError, match="labels"):
        dgm.NCE(plane_field(num_classes=3), fixed_noise(2))
    with pytest.raises(ValueError, match="learned=True"):
        dgm.DynamicNCE(normal_field(), fixed_noise())
    with pytest.raises(ValueError, match="data_share"):
        dgm.DynamicNCE(normal_field(), learned_noise(), data_share=0.0)
    model = dgm.NCE(normal_field(), distributions.Bernoulli(1), seed=0)
    model.compile("adam")
    with pytest.raises(ValueError, match="ranges over"):
        model.fit(rows(8), verbose=0)
    with pytest.raises(ValueError, match="no labels"):
        dgm.NCE(normal_field(), fixed_noise()).fit(rows(8), np.zeros(8, "int32"), verbose=0)
