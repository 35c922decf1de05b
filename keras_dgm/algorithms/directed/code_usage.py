"""How the codes of a codebook are used."""

import keras
from keras import ops


class CodeUsage(keras.metrics.Metric):
    """Counts of each code over an epoch: perplexity and dead codes.

    Args:
        num_codes: size of the codebook.
    """

    def __init__(self, num_codes, name="code_usage", **kwargs):
        super().__init__(name=name, **kwargs)
        self.counts = self.add_variable((num_codes,), "zeros", dtype="float32", name="counts")

    def update_state(self, codes):
        """Adds code numbers, int32 of any shape."""
        codes = ops.reshape(codes, (-1,))
        used = ops.sum(ops.one_hot(codes, self.counts.shape[0], dtype="float32"), axis=0)
        self.counts.assign(self.counts + used)

    def result(self):
        """`perplexity`, exp of the usage's entropy, 1 to K; `dead_codes`, those not used."""
        counts = ops.convert_to_tensor(self.counts)
        share = counts / ops.maximum(ops.sum(counts), 1.0)
        entropy = -ops.sum(ops.where(counts > 0, share * ops.log(share + 1e-30), 0.0))
        dead = ops.sum(ops.cast(counts == 0, "float32"))
        return {"perplexity": ops.exp(entropy), "dead_codes": dead}

    def reset_state(self):
        self.counts.assign(ops.zeros(self.counts.shape))
