"""Estimators on a trained model."""

from keras_dgm.evaluation.annealed_likelihood import PriorProposals, annealed_log_likelihood
from keras_dgm.evaluation.detection import area_under_roc
from keras_dgm.evaluation.features import (
    FeatureNetwork,
    classifier_features,
    identity_features,
    inception_v3,
    small_classifier,
    train_classifier,
)
from keras_dgm.evaluation.frechet import (
    RunningMoments,
    feature_moments,
    frechet_distance,
    gaussian_frechet_distance,
)
from keras_dgm.evaluation.gradient_snr import GradientSNR, gradient_snr
from keras_dgm.evaluation.inception_score import inception_score, score_of_probabilities
from keras_dgm.evaluation.inference_gap import InferenceGap, inference_gap
from keras_dgm.evaluation.kernel_distance import kernel_distance, polynomial_mmd
from keras_dgm.evaluation.log_likelihood import Estimate, log_likelihood
from keras_dgm.evaluation.precision_recall import precision_recall
from keras_dgm.evaluation.report import FeatureReport
from keras_dgm.evaluation.stacked_modes import stacked_modes

__all__ = [
    "Estimate",
    "FeatureNetwork",
    "FeatureReport",
    "GradientSNR",
    "InferenceGap",
    "PriorProposals",
    "RunningMoments",
    "annealed_log_likelihood",
    "area_under_roc",
    "classifier_features",
    "feature_moments",
    "frechet_distance",
    "gaussian_frechet_distance",
    "gradient_snr",
    "identity_features",
    "inception_score",
    "inception_v3",
    "inference_gap",
    "kernel_distance",
    "log_likelihood",
    "polynomial_mmd",
    "precision_recall",
    "score_of_probabilities",
    "small_classifier",
    "stacked_modes",
    "train_classifier",
]
