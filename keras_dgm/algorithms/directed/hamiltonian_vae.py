"""Variational learning with Hamiltonian steps."""

import keras
import numpy as np
from keras import ops

from keras_dgm import backend
from keras_dgm.algorithms.directed.auxiliary_vae import AuxiliaryVariables, flat_size, joined
from keras_dgm.distributions import Normal


@keras.saving.register_keras_serializable(package="keras_dgm")
class HamiltonianVAE(AuxiliaryVariables):
    """Hamiltonian variational inference: draws of q(h|x) follow log p(x, h) for some steps.

    Objective (Salimans et al. 2015, Eq. 9 and 13; Ou 2019, section 3.2.1 item 4), for each x, with
    h_0 ~ q(h|x), a momentum v_0 ~ N(0, I) and (h_T, v_T) after T leapfrog steps on p(x, h):
        E [log p(x, h_T) + log r(v_T|x, h_T) - log q(h_0|x) - log N(v_0; 0, I)] <= log p(x).
    A leapfrog step, v += (eps/2) g(h); h += eps v; v += (eps/2) g(h) with g the gradient of
    log p(x, h) in h, preserves volume and is turned round by v -> -v, so that no Jacobian enters.
    The step size eps is learned, one for each coordinate of h, which is a diagonal mass matrix.
    With K = `num_samples` > 1 the K-draw bound of these weights.

    Estimator: reparameterised, total derivative through the steps; unbiased. It takes second
    derivatives of the generative side (ReLU networks have none to speak of; smooth ones do).

    Cost per step: one pass and gradient of the inference network on the batch; of the generative
    side on K times the batch T + 1 gradients in h and one density, and backwards through these;
    one pass of r.

    Args:
        generative: a `LatentVariableModel` of one continuous latent layer.
        inference: q(h|x), a reparameterised distribution layer.
        num_steps: T; 0 is the VAE.
        step_size: eps at the start.
        reverse: r(v|x, h), a distribution layer over momenta of h's shape given the vector [x, h]:
            what lets the bound rise above that of q(h|x)'s family. None for N(0, I).
        others: see `LatentVariableAlgorithm`.

    Raises:
        ValueError: several latent layers, a discrete one, a q whose draws carry no gradient.
    """

    def __init__(self, generative, inference, num_steps=5, step_size=0.05, reverse=None, **kwargs):
        if generative.is_deep or generative.prior.is_discrete:
            raise ValueError(
                "HamiltonianVAE moves h along the gradient of log p(x, h): it takes one "
                f"continuous latent layer; the prior draws {generative.latent_shape} "
                f"({type(generative.prior).__name__})."
            )
        if int(num_steps) < 0 or int(num_steps) != num_steps:
            raise ValueError(f"`num_steps` is an integer, 0 at least; received {num_steps!r}.")
        if not float(step_size) > 0.0:
            raise ValueError(f"`step_size` is positive; received {step_size!r}.")
        super().__init__(generative, inference, **kwargs)
        if not inference.is_reparameterized:
            raise ValueError(
                f"HamiltonianVAE needs gradients through the draws of q(h|x), and "
                f"{type(inference).__name__} draws have none."
            )
        self.num_steps = int(num_steps)
        self.step_size = float(step_size)
        self.leapfrog = Leapfrog(generative.latent_shape, self.step_size)
        self.momentum = Normal(generative.latent_shape)
        self.momentum.build()
        self.reverse = reverse
        if reverse is not None:
            size = flat_size(generative.event_shape) + flat_size(generative.latent_shape)
            reverse.build((None, size))
            if reverse.event_shape != generative.latent_shape:
                raise ValueError(
                    f"`reverse` is over momenta of h's shape {generative.latent_shape}; it has "
                    f"{reverse.event_shape}."
                )
        self.finish()

    def draw(self, x, num_samples, seed, training=None, stop_gradient=False):
        """`(h_T, log q(h_0|x) + log N(v_0) - log r(v_T|x, h_T))`, (num_samples, batch, ...).

        With `stop_gradient` both are constants.
        """
        first, second = backend.split_seed(seed, 2)
        start, log_q = self.inference.sample_and_log_prob(
            x, (num_samples,), first, training, stop_gradient
        )
        v = backend.normal(ops.shape(start), second)
        log_v = self.momentum.log_prob(v)
        h, v = self.leapfrog.move(
            lambda h: self.generative.log_prob(x, h, training=training), start, v, self.num_steps
        )
        if self.reverse is None:
            log_r = self.momentum.log_prob(v)
        else:
            log_r = self.reverse.log_prob(v, joined(x, h), training=training)
        out = (h, log_q + log_v - log_r)
        return tuple(map(ops.stop_gradient, out)) if stop_gradient else out

    def get_config(self):
        return {
            **super().get_config(),
            "num_steps": self.num_steps,
            "step_size": self.step_size,
            "reverse": keras.saving.serialize_keras_object(self.reverse),
        }


class Leapfrog(keras.layers.Layer):
    """Leapfrog steps with a learned size for each coordinate.

    Args:
        shape: of one state.
        step_size: of every coordinate at the start.
    """

    def __init__(self, shape, step_size, **kwargs):
        super().__init__(**kwargs)
        self.log_step_size = self.add_weight(
            shape=shape,
            initializer=keras.initializers.Constant(float(np.log(step_size))),
            autocast=False,
            name="log_step_size",
        )
        self.built = True

    def move(self, log_density, state, momentum, num_steps):
        """`(state, momentum)` after `num_steps` steps, with gradients through them.

        Args:
            log_density: function of states (..., *shape) that gives their log-densities (...,).
            state, momentum: (..., *shape).
            num_steps: integer.
        """
        if num_steps == 0:
            return state, momentum
        size = ops.exp(ops.convert_to_tensor(self.log_step_size))

        def gradient(state):
            return backend.value_and_input_grad(log_density, state)[1]

        def step(_, carry):
            state, momentum, slope = carry
            momentum = momentum + 0.5 * size * slope
            state = state + size * momentum
            slope = gradient(state)
            return state, momentum + 0.5 * size * slope, slope

        carry = (state, momentum, gradient(state))
        state, momentum, _ = backend.fori_loop(num_steps, step, carry)
        return state, momentum
