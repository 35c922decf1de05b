"""The flows of the literature, put together."""

from keras_dgm.distributions.flows.autoregressive import InverseAutoregressive
from keras_dgm.distributions.flows.coupling import AdditiveCoupling, AffineCoupling
from keras_dgm.distributions.flows.flow import Flow
from keras_dgm.distributions.flows.planar import Planar
from keras_dgm.distributions.flows.transform import DiagonalScaling, Inverted


def planar_flow(base, num_steps=8, name=None):
    """`num_steps` planar steps over a base (Rezende & Mohamed 2015)."""
    return Flow(base, [Planar() for _ in _steps(num_steps)], name=name)


def nice(base, num_steps=4, hidden_units=(64, 64), name=None, **options):
    """Additive couplings that swap halves, then a diagonal scaling (NICE, Dinh et al. 2014).

    Args:
        base: a distribution layer of a continuous family, not built.
        num_steps: number of couplings; three at least let every coordinate move every other.
        hidden_units: widths of each coupling's network.
        name: of the flow.
        **options: of `AdditiveCoupling` (`activation`, `context_size`).
    """
    steps = [
        AdditiveCoupling(hidden_units, swap=step % 2 == 1, **options) for step in _steps(num_steps)
    ]
    return Flow(base, [*steps, DiagonalScaling()], name=name)


def real_nvp(base, num_steps=6, hidden_units=(64, 64), name=None, **options):
    """Affine couplings that swap halves (RealNVP, Dinh et al. 2017). See `nice`."""
    steps = [
        AffineCoupling(hidden_units, swap=step % 2 == 1, **options) for step in _steps(num_steps)
    ]
    return Flow(base, steps, name=name)


def inverse_autoregressive_flow(base, num_steps=2, hidden_units=(64, 64), name=None, **options):
    """Inverse autoregressive steps of alternating order, for posteriors (Kingma et al. 2016).

    Args:
        base: the encoder, `Normal(shape, network=...)`.
        num_steps: number of steps.
        hidden_units: widths of each step's masked perceptron.
        name: of the flow.
        **options: of `InverseAutoregressive` (`activation`, `context_size`, `max_log_scale`).
    """
    return Flow(base, _autoregressive(num_steps, hidden_units, options), name=name)


def masked_autoregressive_flow(base, num_steps=4, hidden_units=(64, 64), name=None, **options):
    """The inverse steps of `inverse_autoregressive_flow`: densities in one pass each.

    For models of their own (Papamakarios et al. 2017): draws take as many passes as dimensions.
    """
    steps = _autoregressive(num_steps, hidden_units, options)
    return Flow(base, [Inverted(step) for step in steps], name=name)


def _autoregressive(num_steps, hidden_units, options):
    return [
        InverseAutoregressive(hidden_units, right_to_left=step % 2 == 1, **options)
        for step in _steps(num_steps)
    ]


def _steps(num_steps):
    if int(num_steps) < 1:
        raise ValueError(f"A flow has one step at least; received num_steps={num_steps!r}.")
    return range(int(num_steps))
