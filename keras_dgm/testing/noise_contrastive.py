"""Noise-contrastive estimation by quadrature or enumeration."""

import numpy as np


def nce_loss(log_data, log_model, log_noise, noise_ratio=1.0, spacing=1.0):
    """Expected NCE loss on a grid, in nats, to be minimised over the model.

    - E_data[log P(C=0|x)] - nu E_noise[log P(C=1|x)], P(C=0|x) = p_m / (p_m + nu p_n) (Ou 2019,
    Eq. 45 to 49). The model may be unnormalised: its log Z is then a parameter among others.

    Args:
        log_data, log_model, log_noise: log densities on a uniform grid, same shape.
        noise_ratio: nu, noise samples for one data sample.
        spacing: volume of a grid cell; 1 for a finite space.
    """
    log_noise = np.asarray(log_noise, dtype="float64")
    logit = np.asarray(log_model, dtype="float64") - log_noise - np.log(noise_ratio)
    data_term = np.exp(log_data) * np.logaddexp(0.0, -logit)
    noise_term = noise_ratio * np.exp(log_noise) * np.logaddexp(0.0, logit)
    return float(np.sum(data_term + noise_term) * spacing)


def dynamic_nce_loss(log_data, log_model, log_noise, data_share=0.5, noise_ratio=1.0, spacing=1.0):
    """NCE whose data class is drawn from data_share * data + (1 - data_share) * noise."""
    if not 0.0 < data_share <= 1.0:
        raise ValueError(f"data_share must lie in (0, 1]; received {data_share}.")
    mixed = np.asarray(log_data, dtype="float64") + np.log(data_share)
    if data_share < 1.0:
        mixed = np.logaddexp(mixed, np.asarray(log_noise) + np.log1p(-data_share))
    return nce_loss(mixed, log_model, log_noise, noise_ratio, spacing)
