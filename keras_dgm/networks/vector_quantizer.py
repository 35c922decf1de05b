"""A codebook."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_dgm")
class VectorQuantizer(keras.layers.Layer):
    """Maps vectors to the nearest of K code vectors (van den Oord et al. 2017, Eq. 1, 2).

    Args:
        num_codes: K.
        ema_decay: None for a codebook that is trained by gradients; gamma in (0, 1) for one that
            follows the vectors assigned to each code by exponential moving averages (the same,
            App. A.1): of their number N and their sum m, the code being m / N. It is then not
            trainable, and `update` moves it.
        epsilon: of the Laplace smoothing of N, so that unused codes stay finite.
    """

    def __init__(self, num_codes, ema_decay=None, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        if int(num_codes) < 2 or int(num_codes) != num_codes:
            raise ValueError(f"`num_codes` is an integer, 2 at least; received {num_codes!r}.")
        if ema_decay is not None and not 0.0 < float(ema_decay) < 1.0:
            raise ValueError(f"`ema_decay` lies in (0, 1), or is None; received {ema_decay!r}.")
        self.num_codes = int(num_codes)
        self.ema_decay = None if ema_decay is None else float(ema_decay)
        self.epsilon = float(epsilon)

    def build(self, input_shape):
        self.code_size = int(input_shape[-1])
        start = keras.initializers.RandomUniform(-1.0 / self.num_codes, 1.0 / self.num_codes)
        shape = (self.num_codes, self.code_size)
        if self.ema_decay is None:
            self.codes = self.add_weight(
                shape=shape, initializer=start, autocast=False, name="codes"
            )
        else:
            # The averages are of sums over replicas, so their quotient is the same on all.
            options = {"trainable": False, "autocast": False, "aggregation": "mean"}
            self.sums = self.add_weight(shape=shape, initializer=start, name="sums", **options)
            self.counts = self.add_weight(
                shape=shape[:1], initializer="ones", name="counts", **options
            )

    @property
    def codebook(self):
        """(num_codes, code_size)."""
        if self.ema_decay is None:
            return ops.convert_to_tensor(self.codes)
        counts = ops.convert_to_tensor(self.counts)
        total = ops.sum(counts)
        smoothed = (counts + self.epsilon) / (total + self.num_codes * self.epsilon) * total
        return ops.convert_to_tensor(self.sums) / smoothed[:, None]

    def assign_codebook(self, codebook):
        """Sets the code vectors."""
        if self.ema_decay is None:
            self.codes.assign(codebook)
        else:
            self.counts.assign(ops.ones((self.num_codes,)))
            self.sums.assign(codebook)

    def nearest(self, vectors):
        """Number of the nearest code, int32: (..., code_size) to (...)."""
        codebook = self.codebook
        squared = ops.sum(codebook * codebook, axis=-1)
        distances = squared - 2.0 * ops.matmul(vectors, ops.transpose(codebook))
        return ops.cast(ops.argmin(distances, axis=-1), "int32")

    def look_up(self, codes):
        """The code vectors of these numbers: (...) to (..., code_size)."""
        return ops.take(self.codebook, codes, axis=0)

    def call(self, vectors):
        """`(quantized, codes)`: the nearest code vectors and their numbers."""
        codes = self.nearest(vectors)
        return self.look_up(codes), codes

    def update(self, vectors, codes):
        """Moves the averages towards the vectors assigned to each code."""
        vectors = ops.reshape(vectors, (-1, self.code_size))
        assigned = ops.one_hot(ops.reshape(codes, (-1,)), self.num_codes, dtype="float32")
        sums = ops.matmul(ops.transpose(assigned), vectors)
        decay = self.ema_decay
        self.counts.assign(decay * self.counts + (1.0 - decay) * ops.sum(assigned, axis=0))
        self.sums.assign(decay * self.sums + (1.0 - decay) * sums)

    def get_build_config(self):
        """None: the owner builds."""
        return None

    def build_from_config(self, config):
        """Nothing to do."""

    def get_config(self):
        return {
            **super().get_config(),
            "num_codes": self.num_codes,
            "ema_decay": self.ema_decay,
            "epsilon": self.epsilon,
        }
