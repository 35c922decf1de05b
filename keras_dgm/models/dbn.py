"""The deep belief network."""

import keras

from keras_dgm import backend
from keras_dgm.distributions import Bernoulli, Chain, Normal
from keras_dgm.models.latent_variable_model import LatentVariableModel
from keras_dgm.models.rbm import RBM


@keras.saving.register_keras_serializable(package="keras_dgm")
class DBN(LatentVariableModel):
    """Deep belief network (Hinton, Osindero & Teh 2006; Ou 2019, section 4.1).

    p(v, h1, .., hL) = p(v | h1) p(h1 | h2) .. p(h_{L-1}, h_L): an RBM on top, directed sigmoid
    layers below. As a `LatentVariableModel` its prior is the RBM (h_L summed out), or a `Chain`
    that begins with it, and a latent is h1, or (h_{L-1}, .., h1).

    Log-likelihoods and bounds hold the RBM's `log_partition`, 0 until it is estimated:
    `UpDown.estimate_log_partition` assigns it. `pretrain` builds the layers greedily, `UpDown`
    learns them together. `sample` runs the RBM's Gibbs chains, and then goes down.

    Args:
        event_shape: shape of one v.
        units: sizes of the hidden layers from the bottom up, two at least.
        visible: `"bernoulli"` or `"gaussian"`.
        scale: standard deviation of Gaussian visibles.
    """

    def __init__(self, event_shape, units, visible="bernoulli", scale=1.0, name=None, **kwargs):
        units = [int(size) for size in units]
        if len(units) < 2:
            raise ValueError(
                f"A DBN has two hidden layers at least; received units={units}. With one it is "
                "an RBM."
            )
        if visible not in ("bernoulli", "gaussian"):
            raise ValueError(f"`visible` is 'bernoulli' or 'gaussian'; received {visible!r}.")
        prior = RBM((units[-2],), units[-1], name="top")
        if len(units) > 2:
            prior = Chain([prior, *[Bernoulli((size,)) for size in reversed(units[:-2])]])
        if visible == "bernoulli":
            likelihood = Bernoulli(event_shape)
        else:
            likelihood = Normal(event_shape, scale=float(scale))
        super().__init__(prior, likelihood, name=name, **kwargs)
        self.units, self.visible_units, self.scale = tuple(units), visible, float(scale)

    @property
    def top(self):
        """The RBM over (h_{L-1}, h_L)."""
        return self.prior.parts[0] if self.is_deep else self.prior

    @property
    def directed(self):
        """The directed layers from the top down, the likelihood last."""
        return [*(self.prior.parts[1:] if self.is_deep else []), self.likelihood]

    def descend(self, state, seed):
        """Draws what lies below a state of the top RBM's visibles.

        Returns:
            `(x, h)`, h in the prior's order, the state among it.
        """
        drawn = [state]
        for layer, part in zip(self.directed, backend.split_seed(seed, len(self.directed))):
            drawn.append(layer.sample(drawn[-1], seed=part))
        return drawn[-1], tuple(drawn[:-1]) if self.is_deep else state

    def recognition(self):
        """A fresh q(h | v) of independent coins in every layer, each affine in the one below."""
        parts = [Bernoulli((size,)) for size in self.units[:-1]]
        return Chain(parts) if len(parts) > 1 else parts[0]

    def get_config(self):
        config = super().get_config()
        del config["prior"], config["likelihood"]
        return {
            **config,
            "event_shape": list(self.event_shape),
            "units": list(self.units),
            "visible": self.visible_units,
            "scale": self.scale,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)
