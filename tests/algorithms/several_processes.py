"""A program that tests start several times: each joins the others and trains small models.

    python several_processes.py NUMBER HOST:PORT,HOST:PORT RULE+RULE [FOLDER] [HOW]

prints each rule's weights and state at the end, a JSON object, as `train` returns them.
"""

import contextlib
import json
import os
import signal
import sys

import keras
import numpy as np

ROWS, BATCH = 16, 8


def rules():
    """Builders of the algorithms, by name."""
    import scripts

    import keras_dgm as dgm

    def vae():
        generative, inference = scripts.small_model()
        return dgm.VAE(generative, inference, seed=0, num_samples=2)

    def jsa():
        parts = dgm.models.sigmoid_belief_network([4, 3], (6,))
        return dgm.JSA(*parts, num_data=ROWS, num_samples=3, seed=0)

    def persistent():
        machine = dgm.models.RBM((6,), 4)
        return dgm.StochasticMaximumLikelihood(machine, num_steps=2, num_chains=8, seed=0)

    def wgan():
        generator = dgm.models.ImplicitModel(3, dgm.networks.mlp([5], output_units=6))
        critic = dgm.networks.mlp([5], output_units=1)
        return dgm.WGANGP(generator, critic, critic_steps=2, seed=0)

    return {"vae": vae, "jsa": jsa, "persistent": persistent, "wgan": wgan, **NOTERS}


def noise(shared=False):
    """An algorithm that learns nothing, and notes the noise drawn for each row.

    With `shared`, the fault that the test of it must find: each half of a batch has the same.
    """
    import keras_dgm as dgm
    from keras_dgm import backend
    from keras_dgm.algorithms.directed.per_datapoint import PerDatapoint

    class Noise(PerDatapoint, dgm.Algorithm):
        terms = ("mean",)

        def __init__(self):
            super().__init__(seed=0)
            self.keep_tables_for(ROWS)
            self.unused = self.add_weight(shape=(1,), name="unused")
            self.drawn = self.add_learning_state("drawn", (ROWS,), by_rows=True)
            self.finish()

        def train_step(self, data):
            data = self.unpack(data)
            index, _ = self.row_numbers(data)
            drawn = self.draw(keras.ops.shape(index)[0], self.next_seed())
            backend.scatter_rows(self.drawn, index, drawn)
            return self.log({"mean": keras.ops.mean(drawn)})

        def draw(self, count, seed):
            if shared and backend.name() == "jax":
                return keras.ops.tile(backend.normal((count // 2,), seed), (2,))
            return backend.normal((count,), seed)

        def replica_seed(self, seed):
            return seed if shared else super().replica_seed(seed)

    return Noise()


NOTERS = {"noise": noise, "shared noise": lambda: noise(shared=True)}


@contextlib.contextmanager
def noise_that_all_rows_share():
    """Draws depend on the unit and the sample, not on which rows of a batch a process holds."""
    from keras_dgm import backend

    def same_uniform(shape, seed, *args, **kwargs):
        # Of axes (samples, rows, units), (samples or chains, rows or units) and (rows,) the rows'
        # one is left out.
        rank = len(shape)
        samples = np.arange(shape[0]).reshape(-1, *[1] * (rank - 1)) if rank > 1 else np.zeros(1)
        units = np.arange(shape[-1]) if rank > 2 else np.zeros(1)
        fixed = np.modf(0.37 + 0.618 * samples + 0.271 * units)[0].astype("float32")
        return keras.ops.broadcast_to(fixed, shape)

    def same_normal(shape, seed, dtype="float32"):
        fixed = np.sin(1.0 + 2.0 * np.arange(shape[-1])).astype("float32")
        return keras.ops.broadcast_to(fixed, shape)

    before = backend.uniform, backend.normal
    backend.uniform, backend.normal = same_uniform, same_normal
    try:
        yield
    finally:
        backend.uniform, backend.normal = before


class KillAfterTwoEpochs(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)


def train(rule, scope=None, callbacks=(), own_noise=False, epochs=3, elsewhere=False):
    """Trains from weights that depend on nothing; a list of lists of numbers.

    Args:
        rule: one of `rules()`.
        scope: what `join_processes` returned.
        callbacks: for `fit`.
        own_noise: whether noise is drawn as ever, and is not one for all rows.
        epochs: for `fit`.
        elsewhere: whether to begin at other weights, seeds and chains.
    """
    import scripts

    from keras_dgm import backend

    keras.utils.set_random_seed(2 if elsewhere else 1)
    with scope or contextlib.nullcontext():
        model = rules()[rule]()
        for number, variable in enumerate(model.trainable_variables):
            size = int(np.prod(variable.shape))
            values = 0.4 * np.sin(1.0 + number + 1.7 * np.arange(size) + elsewhere)
            variable.assign(values.reshape(variable.shape).astype("float32"))
        if elsewhere:
            model.seed_state.assign([7, 7])
        optimizer = keras.optimizers.SGD(0.05, momentum=0.5)
        model.compile(optimizer, steps_per_execution=1)
    fixed = not own_noise and rule not in NOTERS
    with noise_that_all_rows_share() if fixed else contextlib.nullcontext():
        model.fit(
            scripts.binary_rows(ROWS),
            batch_size=BATCH,
            epochs=epochs,
            verbose=0,
            shuffle=True,
            callbacks=list(callbacks),
        )
    held = [*model.trainable_variables, *model.non_trainable_variables]
    return [backend.whole(variable).astype("float64").ravel().tolist() for variable in held]


def main(number, addresses, names, folder="", how=""):
    from keras_dgm import backend

    number, addresses, scope = int(number), addresses.split(","), None
    if len(addresses) > 1:
        scope = backend.join_processes(addresses, number)
    import keras_dgm as dgm

    callbacks = []
    if folder:
        callbacks = [dgm.callbacks.ProcessBackup(folder)]
        if how == "kill" and number == len(addresses) - 1:
            callbacks.append(KillAfterTwoEpochs())
    more = {"callbacks": callbacks, "own_noise": True, "epochs": 4} if folder else {}
    more["elsewhere"] = how == "elsewhere"
    print(json.dumps({rule: train(rule, scope, **more) for rule in names.split("+")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
