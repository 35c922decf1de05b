"""Pretrained models: saved to a folder, loaded by name, folder or address, checked on the way.

A preset is `config.json`, `model.weights.h5`, `metadata.json` and a card: no pickle, and no code of
its own. `save_to_preset` writes one, `from_preset` loads one, `list_presets` names the registry's.
"""

from .annealed_figures import annealed_figures
from .features import load_features
from .helmholtz import compare_latent_critics, helmholtz_figures
from .integrity import FORMAT_VERSION
from .likelihood_figures import (
    annealed_figure,
    cosine_to_zero,
    likelihood_figures,
    train_by_likelihood,
    write_by_likelihood,
)
from .loading import from_preset
from .plane_figures import coverage_figures, mode_figures, plane_log_likelihood
from .publishing import mean_figure, publish, recipe_main
from .records import describe_data, describe_training, log_likelihood_figure
from .registry import Entry, cache_folder, zoo_folder
from .sampled import sample_figures, train_by_samples
from .saving import save_to_preset
from .zoo import download, draw_samples, list_presets, verify, write_zoo_folder

list = list_presets

__all__ = [
    "FORMAT_VERSION",
    "Entry",
    "annealed_figure",
    "annealed_figures",
    "cache_folder",
    "compare_latent_critics",
    "coverage_figures",
    "cosine_to_zero",
    "describe_data",
    "describe_training",
    "download",
    "draw_samples",
    "from_preset",
    "helmholtz_figures",
    "likelihood_figures",
    "list",
    "list_presets",
    "load_features",
    "log_likelihood_figure",
    "mean_figure",
    "mode_figures",
    "plane_log_likelihood",
    "publish",
    "recipe_main",
    "sample_figures",
    "save_to_preset",
    "train_by_likelihood",
    "train_by_samples",
    "verify",
    "write_by_likelihood",
    "write_zoo_folder",
    "zoo_folder",
]
