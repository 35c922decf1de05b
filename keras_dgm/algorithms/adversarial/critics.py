"""What is asked of a critic's network."""

import keras

from keras_dgm.models.outputs import output_range, output_shape
from keras_dgm.networks import MinibatchStddev


def build_critic(critic, event_shape, condition_shape=None, num_outputs=1, bounded=False):
    """Builds a critic and checks what it takes and gives.

    Args:
        critic: Keras layer from x, or from `[x, condition]`, to (batch, num_outputs).
        event_shape: shape of one x, or a list of shapes for a critic of pairs.
        condition_shape: shape of one condition where the critic is given one, or None.
        num_outputs: numbers that it must give for a row.
        bounded: whether a last activation of bounded range is allowed.

    Raises:
        ValueError: outputs of another shape; a last sigmoid or tanh, since V is a logit and has
            no bounds; a network that takes one input where there are two, or the reverse.
    """
    pair = isinstance(event_shape, list)
    shape = [(None, *part) for part in event_shape] if pair else (None, *event_shape)
    if condition_shape is not None:
        shape = [shape, (None, *condition_shape)]
    takes_two = isinstance(shape, list)
    if takes_two and isinstance(critic, keras.Sequential):
        raise ValueError(
            "The critic is shown [x, condition], and a keras.Sequential takes x alone. Give a "
            "critic of two inputs: the builders' conditioning='projection' or 'concatenate', "
            "joint_mlp, joint_critic, ConditionalSequential."
        )
    if not takes_two and getattr(critic, "takes_condition", False):
        raise ValueError(
            "The critic takes [x, condition], and the generator has no condition: give the "
            "ImplicitModel num_classes= or condition_shape=, or a critic of x alone."
        )
    if not critic.built:
        critic.build(shape)
    got = output_shape(critic, shape)[1:]
    if got != (num_outputs,) and not (num_outputs == 1 and got == ()):
        raise ValueError(
            f"The critic must give {num_outputs} number{'s' * (num_outputs > 1)} for each x, "
            f"(batch, {num_outputs}); it gives (batch, {', '.join(map(str, got))}). End it in "
            f"Dense({num_outputs}) without activation."
        )
    bounds = output_range(critic)
    if bounds is not None and not bounded:
        raise ValueError(
            f"The critic's last activation confines it to {bounds}; it must give a number of any "
            "size, V(x) (a logit), to which the algorithm applies what it needs. Leave the last "
            "activation out."
        )


def mixes_rows(layer):
    """Whether a row's output depends on the other rows of the batch (in training)."""
    mixing = (keras.layers.BatchNormalization, MinibatchStddev)
    return any(isinstance(part, mixing) for part in layer._flatten_layers())
