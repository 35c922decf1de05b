"""What recipes put on cards: means, modes found, likelihoods by quadrature and by annealing."""

import json
import sys

import numpy as np
import pytest

import keras_dgm as dgm
from keras_dgm import datasets, models, presets


def test_a_mean_and_its_standard_error():
    figure = presets.mean_figure([1.0, 2.0, 6.0], "nats", seed=3)
    assert figure == {
        "value": 3.0,
        "standard_error": pytest.approx(np.sqrt(7.0 / 3.0)),
        "unit": "nats",
        "count": 3,
        "seed": 3,
    }
    with pytest.raises(ValueError, match="received 2, 1 of them not finite"):
        presets.mean_figure([1.0, np.nan], "nats")


def test_modes_of_perfect_samples_and_of_half_a_mixture():
    mixture = datasets.load("mixture32")

    def draw(means):
        def sample(count, seed):
            rng = np.random.default_rng(seed)
            points = means[rng.integers(0, len(means), count)]
            return points + mixture.stddev * rng.standard_normal((count, 2))

        return sample

    perfect = presets.mode_figures(draw(mixture.means), mixture, suffix="_here")
    # 32 (1 - (31/32)^100), a little less for the 1.1 % outside: the ceiling of 30.6.
    assert perfect["modes_covered_here"]["value"] == pytest.approx(30.6, abs=0.3)
    assert perfect["share_at_a_mode_here"]["value"] == pytest.approx(0.989, abs=0.004)
    half = presets.mode_figures(draw(mixture.means[:16]), mixture)
    assert half["modes_covered"]["value"] < 16.01


def test_a_likelihood_of_the_plane_is_normalised():
    mixture = datasets.load("mixture32")
    points = mixture.test.images[:500]
    # The density up to a constant factor: log Z is that of the constant.
    figure = presets.plane_log_likelihood(lambda x: mixture.log_prob(x) + 3.0, points)
    assert figure["value"] == pytest.approx(float(np.mean(mixture.log_prob(points))), abs=1e-3)
    assert figure["log_partition"] == pytest.approx(3.0, abs=1e-3)
    with pytest.raises(ValueError, match="reaches to 3"):
        presets.plane_log_likelihood(mixture.log_prob, points, bound=3.0)


def test_a_likelihood_by_annealing_brackets_the_exact_one():
    field = models.RBM((6,), 4)
    for number, variable in enumerate(field.trainable_variables):
        variable.assign(0.5 * np.random.default_rng(number).standard_normal(variable.shape))
    model = dgm.StochasticMaximumLikelihood(field, seed=0)
    x = np.random.default_rng(9).integers(0, 2, (50, 6)).astype("float32")
    figures = presets.annealed_figures(model, x, x, num_temperatures=100)
    exact = float(np.mean(model.potential(x)) - field.exact_log_partition())
    for figure in figures.values():
        assert figure["value"] == pytest.approx(exact, abs=0.05)
        assert figure["count"] == 50 and figure["num_temperatures"] == 100


def test_a_recipe_writes_its_folder_from_the_command_line(tmp_path, monkeypatch):
    data = datasets.load("digits", binarize="threshold")
    recipe = tmp_path / "recipe.py"
    recipe.write_text("# the script\n")

    def train(epochs, directory):
        model = dgm.StochasticMaximumLikelihood(models.RBM((8, 8, 1), 5), seed=0)
        model.compile("sgd")
        presets.publish(
            model,
            directory,
            recipe=recipe,
            dataset=data,
            arguments={"name": "digits"},
            seconds=1.0,
            settings={"epochs": epochs},
            figures={"potential": presets.mean_figure(model.potential(data.test.images), "nats")},
            samples=data.test.images[:4],
            description="A machine.",
        )

    folder = tmp_path / "machine_digits"
    monkeypatch.setattr(sys, "argv", ["recipe.py", "--epochs", "7", "--directory", str(folder)])
    presets.recipe_main(train, "A recipe.", "elsewhere")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["description"] == "A machine." and metrics["training"]["epochs"] == 7
    assert metrics["data"]["name"] == "digits" and metrics["figures"]["potential"]["count"]
    assert (folder / "recipe.py").read_text() == "# the script\n"
    assert isinstance(presets.from_preset(folder), dgm.StochasticMaximumLikelihood)
