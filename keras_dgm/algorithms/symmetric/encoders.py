"""An encoder as a distribution layer or as a plain network."""

from keras import ops

from keras_dgm.models.outputs import output_shape


def build_encoder(name, encoder, event_shape, latent_shape):
    """Builds an encoder of x and checks what it gives.

    Args:
        name: of the algorithm, for errors.
        encoder: a reparameterised distribution layer given x, or a Keras layer from x to z.
        event_shape: of one x.
        latent_shape: of one z.

    Raises:
        ValueError: draws without a gradient, a z of another shape.
    """
    shape = (None, *event_shape)
    if is_distribution(encoder):
        if not encoder.is_reparameterized:
            raise ValueError(
                f"{name} needs the gradient through draws of Q(z|x), and "
                f"{type(encoder).__name__} draws have none. Use a reparameterised distribution "
                "layer (Normal, say), or a Keras layer from x to z."
            )
        encoder.build(shape)
        got = tuple(encoder.event_shape)
    else:
        if not encoder.built:
            encoder.build(shape)
        got = tuple(output_shape(encoder, shape)[1:])
    if got != tuple(latent_shape):
        raise ValueError(
            f"{name}'s generator takes z of shape {tuple(latent_shape)}, and the encoder gives "
            f"{got}; they must be the same."
        )


def is_distribution(encoder):
    """Whether the encoder is a distribution layer."""
    return hasattr(encoder, "is_reparameterized")


def encode(encoder, x, seed, training=None):
    """z for each x: a draw, or the network's output."""
    if is_distribution(encoder):
        return encoder.sample(x, seed=seed, training=training)
    return ops.cast(encoder(x, training=training), "float32")
