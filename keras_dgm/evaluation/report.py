"""What a figure by features is reported with."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class FeatureReport:
    """A figure, the network it was measured with and how many rows went into it.

    Attributes:
        metric: name of the figure.
        value: the figure.
        network: name of the feature network.
        checksum: of the network's weights.
        n_real, n_fake: rows of data and of samples; n_real None where no data are used.
        details: dictionary of further figures.
    """

    metric: str
    value: float
    network: str
    checksum: str
    n_real: int | None
    n_fake: int
    details: dict = dataclasses.field(default_factory=dict)

    def __str__(self):
        rows = "" if self.n_real is None else f"n_real={self.n_real}, "
        more = "".join(f", {name} {value:.5g}" for name, value in self.details.items())
        return (
            f"{self.metric} {self.value:.5g}{more} (features: {self.network} "
            f"sha256 {self.checksum}, {rows}n_fake={self.n_fake})"
        )

    def __float__(self):
        return float(self.value)


def check_rows(metric, name, count, least):
    """Raises a ValueError for fewer rows than a figure needs."""
    if count < least:
        raise ValueError(f"{metric} needs {least} rows of `{name}` at least; received {count}.")
