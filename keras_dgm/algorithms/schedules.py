"""Learning rates under which stochastic approximation converges."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_dgm")
class RobbinsMonro(keras.optimizers.schedules.LearningRateSchedule):
    """Constant first, then falling as 1/t (Ou 2019, section 2, Theorem 1).

    gamma_t = initial for t <= constant_steps, and initial * constant_steps / t after: the sum of
    the rates diverges and the sum of their squares does not, which the theorem asks for.

    Args:
        initial: the learning rate at first.
        constant_steps: steps before it begins to fall, 1 at least.
    """

    def __init__(self, initial, constant_steps, name="robbins_monro"):
        super().__init__()
        if not float(initial) > 0.0 or not float(constant_steps) >= 1.0:
            raise ValueError(
                "`initial` is positive and `constant_steps` 1 at least; received "
                f"{initial!r} and {constant_steps!r}."
            )
        self.initial = float(initial)
        self.constant_steps = float(constant_steps)
        self.name = name

    def __call__(self, step):
        step = ops.cast(step, "float32") + 1.0
        return self.initial * ops.minimum(1.0, self.constant_steps / step)

    def get_config(self):
        return {
            "initial": self.initial,
            "constant_steps": self.constant_steps,
            "name": self.name,
        }
