"""The signal-to-noise ratio of a rule's gradients as the number of samples grows."""

import dataclasses

import numpy as np
from keras import ops

SIDES = ("generative", "inference")


@dataclasses.dataclass(frozen=True)
class GradientSNR:
    """Signal-to-noise ratios of one stochastic gradient, for each number of samples K.

    Attributes:
        num_samples: (m,), the values of K.
        generative: (m,), |E g| / sqrt(trace Cov g) of theta's gradient g.
        inference: (m,), of phi's.
        num_draws: draws from which each was estimated.
        variance: {"generative": (m,), "inference": (m,)}, trace Cov g.
    """

    num_samples: np.ndarray
    generative: np.ndarray
    inference: np.ndarray
    num_draws: int
    variance: dict = dataclasses.field(repr=False)

    @property
    def generative_slope(self):
        """Least-squares slope of log SNR of theta over log K."""
        return _slope(self.num_samples, self.generative)

    @property
    def inference_slope(self):
        """Least-squares slope of log SNR of phi over log K."""
        return _slope(self.num_samples, self.inference)

    def __str__(self):
        lines = [f"{'K':>6}{'theta':>12}{'phi':>12}"]
        for row in zip(self.num_samples, self.generative, self.inference):
            lines.append("{:>6}{:>12.4g}{:>12.4g}".format(*row))
        if len(self.num_samples) > 1:
            lines.append(f"{'slope':>6}{self.generative_slope:>12.3f}{self.inference_slope:>12.3f}")
        return "\n".join(lines)


def gradient_snr(model, x, num_samples=(1, 2, 4, 8, 16, 32, 64), num_draws=500, seed=0):
    """Signal-to-noise ratio of a rule's gradient estimates, by side (Rainforth et al. 2018).

    Ou 2019, end of section 3.2.1: as K grows, IWAE's phi gradient loses signal faster than noise,
    its ratio falling as K^(-1/2), while theta's rises as K^(1/2). The ratio is that of the whole
    vector, |E g| over the root of the summed variances; the square of the mean over draws is
    corrected for the noise left in it, without which a small ratio would level off at
    1 / sqrt(num_draws). A ratio too small to be told from zero is 0, and slopes are then NaN: take
    more draws, or repeat the rows of x, which raises all ratios alike.

    Args:
        model: a rule with `num_samples` (IWAE, VIMCO, ReweightedWakeSleep, ...). It is not
            changed: each K is measured on a copy with the same weights and learning state.
        x: array (batch, *event): the batch whose gradient is estimated. For a rule with a state
            for every training point (JSA), these are its first points.
        num_samples: values of K.
        num_draws: independent gradients for each K.
        seed: integer; the same seed gives the same figures.

    Returns:
        A `GradientSNR`; print it.

    Raises:
        ValueError: a rule without `num_samples`, a K that the rule refuses, fewer than two draws.
    """
    if not hasattr(model, "num_samples") or not hasattr(model, "generative"):
        raise ValueError(
            f"{type(model).__name__} has no `num_samples` draws of latents to vary; gradient_snr "
            "is for rules of latent-variable models."
        )
    if num_draws < 2:
        raise ValueError(f"A variance needs two draws at least; received {num_draws}.")
    x = np.asarray(x, "float32")
    model.check_data(x)
    data = {"x": x}
    if model.needs_index:
        data["index"] = np.arange(len(x), dtype="int32")
    ratios, variances = {side: [] for side in SIDES}, {side: [] for side in SIDES}
    for count in num_samples:
        moments = _moments(_copy(model, count), data, num_draws, seed)
        for side, (mean, variance) in moments.items():
            noise = variance.sum()
            signal = max(np.sum(mean**2) - noise / num_draws, 0.0)
            ratios[side].append(np.sqrt(signal / noise) if noise > 0 else np.inf)
            variances[side].append(noise)
    return GradientSNR(
        np.array(num_samples),
        *(np.array(ratios[side]) for side in SIDES),
        num_draws,
        {side: np.array(variances[side]) for side in SIDES},
    )


def _copy(model, num_samples):
    """The same rule at the same weights, with another number of samples."""
    copy = type(model).from_config({**model.get_config(), "num_samples": int(num_samples)})
    pairs = [
        *zip(copy.trainable_variables, model.trainable_variables),
        *zip(copy.non_trainable_variables, model.non_trainable_variables),
    ]
    for mine, other in pairs:
        if tuple(mine.shape) == tuple(other.shape):
            mine.assign(ops.convert_to_numpy(other))
    return copy


def _moments(model, data, num_draws, seed):
    """Mean and variance of each side's gradient: {"generative": (mean, variance), ...}."""
    sums = {side: 0.0 for side in SIDES}
    squares = {side: 0.0 for side in SIDES}
    origin = None
    for number in range(num_draws):
        draw = _by_side(model, model.estimate_gradients(data, seed=seed * 1_000_003 + number))
        # Moments about the first draw lose no digits where the mean is large.
        origin = draw if origin is None else origin
        for side in SIDES:
            shifted = draw[side] - origin[side]
            sums[side] = sums[side] + shifted
            squares[side] = squares[side] + shifted**2
    out = {}
    for side in SIDES:
        mean = sums[side] / num_draws
        variance = (squares[side] - num_draws * mean**2) / (num_draws - 1)
        out[side] = mean + origin[side], np.maximum(variance, 0.0)
    return out


def _by_side(model, gradients):
    """Flat float64 gradients of theta and phi, whichever players move them."""
    by_variable = {}
    for player, arrays in gradients.items():
        for variable, array in zip(model.player_variables(player), arrays):
            by_variable[id(variable)] = array
    sides = {"generative": model.generative, "inference": model.inference}
    return {
        side: np.concatenate(
            [
                np.asarray(by_variable[id(v)], "float64").ravel()
                for v in part.trainable_variables
                if id(v) in by_variable
            ]
            or [np.zeros(0)]
        )
        for side, part in sides.items()
    }


def _slope(num_samples, ratios):
    """Least-squares slope on log-log axes, NaN where a ratio is 0 or infinite."""
    if len(num_samples) < 2 or not np.all((ratios > 0) & np.isfinite(ratios)):
        return float("nan")
    return float(np.polyfit(np.log(num_samples), np.log(ratios), 1)[0])
