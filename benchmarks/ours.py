"""The rows by this library: the same nets and weights, timed inside `fit`."""

import itertools
import time

import keras
import numpy as np
from keras import ops

import keras_dgm as dgm
from keras_dgm import backend

VERSIONS = {"keras": keras.__version__, "keras_dgm": dgm.__version__, backend.name(): ""}
mlp, Normal, Bernoulli = dgm.networks.mlp, dgm.distributions.Normal, dgm.distributions.Bernoulli


def latent(workload):
    event = (784,)
    generative = dgm.models.LatentVariableModel(
        Normal((50,)), Bernoulli(event, network=mlp([200, 200], "tanh"))
    )
    inference = Normal((50,), network=mlp([200, 200], "tanh"))
    if workload.family == "vae":
        return dgm.VAE(generative, inference, estimator="analytic_kl", seed=0)
    return dgm.IWAE(generative, inference, num_samples=workload.num_samples, seed=0)


def sbn(workload):
    parts = dgm.models.sigmoid_belief_network([200, 200], (784,))
    options = {"num_samples": workload.num_samples, "seed": 0}
    if workload["rule"] == "rws":
        return dgm.ReweightedWakeSleep(*parts, **options)
    if workload["rule"] == "vimco":
        return dgm.VIMCO(*parts, **options)
    return dgm.JSA(*parts, num_data=workload.steps * workload.batch, **options)


def gan(workload):
    generator = dgm.models.ImplicitModel(
        64, dgm.networks.dcgan_generator((28, 28, 1), width=workload["width"])
    )
    critic = dgm.networks.dcgan_critic((28, 28, 1), width=workload["width"])
    rule = dgm.WGANGP if workload["penalty"] else dgm.GAN
    return rule(generator, critic, critic_steps=workload["critic_steps"], seed=0)


def random_field(workload):
    field = dgm.models.RandomField(mlp([500, 250], "leaky_relu", output_units=1), (784,))
    generator = dgm.models.LatentVariableModel(
        Normal((50,)), Normal((784,), network=mlp([200, 200], "relu"), scale=0.3)
    )
    sampler = dgm.sampling.Langevin(workload["step_size"], num_steps=workload["sampler_steps"])
    return dgm.InclusiveNRF(field, generator, sampler, updates="alternating", seed=0)


def rbm(workload):
    machine = dgm.models.RBM((784,), 200)
    steps = workload["gibbs_steps"]
    if workload["persistent"]:
        rule = dgm.StochasticMaximumLikelihood
        return rule(machine, num_steps=steps, num_chains=workload.batch, seed=0)
    return dgm.ContrastiveDivergence(machine, num_steps=steps, seed=0)


BUILDERS = {
    "vae": latent,
    "iwae": latent,
    "iw_likelihood": latent,
    "sbn": sbn,
    "gan": gan,
    "random_field": random_field,
    "rbm": rbm,
}


def set_weights(workload, variables_of):
    """Assigns the first weights, a list of variables for each player."""
    for player, arrays in workload.weights().items():
        variables = variables_of(player)
        shapes = [tuple(v.shape) for v in variables], [a.shape for a in arrays]
        if shapes[0] != shapes[1]:
            raise ValueError(f"{workload.name}: {player} has weights of shapes {shapes}.")
        for variable, array in zip(variables, arrays):
            variable.assign(array)


TERMS = {"gan": ("critic_loss",), "jsa": ("generative_loss", "inference_loss")}


def loss_of(workload, logs):
    """The loss that the loops by hand report, from the terms of a step."""
    kind = "jsa" if workload.options.get("rule") == "jsa" else workload.family
    return float(sum(np.asarray(logs[term]) for term in TERMS.get(kind, ("loss",))))


class _Turns(keras.callbacks.Callback):
    """Each epoch is one repeat: its steps wait for their turn and tell how long they took.

    The processor time from the last step of an epoch to the first of the next is kept apart.
    """

    def __init__(self, workload, gate):
        super().__init__()
        self.workload, self.gate = workload, gate
        self.between, self.ended = [], None

    def on_epoch_begin(self, epoch, logs=None):
        self.is_first = True

    def on_train_batch_begin(self, batch, logs=None):
        if self.is_first:
            if self.ended is not None:
                self.between.append(time.process_time() - self.ended)
            self.gate.begin()
            self.is_first = False

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 >= self.workload.steps:
            self.gate.end(loss_of(self.workload, logs))
            self.ended = time.process_time()


class Training:
    """A row in which `fit` is timed, epoch by epoch, and then the bare step."""

    def __init__(self, workload):
        self.workload = workload
        keras.utils.set_random_seed(0)
        self.model = BUILDERS[workload.family](workload)
        set_weights(workload, self._variables)
        self.model.compile(keras.optimizers.Adam(1e-3))
        self.x = workload.data()

    def _variables(self, player):
        if len(self.model.players) == 1 and player != "field":
            return getattr(self.model, player).trainable_variables
        return self.model.player_variables(player)

    def run(self, steps):
        """`steps` steps by `fit`; the loss."""
        if self.model.needs_index:
            history = self._fit(self.x, steps_per_epoch=steps).history
        else:
            history = self._fit(self.x[: steps * self.workload.rows_a_step]).history
        return loss_of(self.workload, {name: values[0] for name, values in history.items()})

    def _fit(self, x, **options):
        return self.model.fit(
            x, batch_size=self.workload.batch, shuffle=False, verbose=0, **options
        )

    def repeats(self, gate, count):
        """`count` epochs, one at each turn."""
        turns = _Turns(self.workload, gate)
        self._fit(self.x, epochs=count, callbacks=[turns])
        self.epoch = float(np.median(turns.between))

    def bare_step(self, repeats):
        """Seconds a step of the compiled program alone, with a batch that lies ready: median."""
        model, rows = self.model, self.workload.rows_a_step
        batch = {"x": ops.convert_to_tensor(self.x[:rows])}
        if model.needs_index:
            batch["index"] = ops.arange(rows, dtype="int32")
        model.train_function = None
        model.make_train_function()
        run = _bare_runner(model, batch)
        run(1)
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            run(self.workload.steps)
            times.append((time.perf_counter() - start) / self.workload.steps)
        return float(np.median(times))


def _bare_runner(model, batch):
    size = model.steps_per_execution
    if backend.name() == "jax":
        state = model._get_jax_state(
            trainable_variables=True,
            non_trainable_variables=True,
            optimizer_variables=True,
            metrics_variables=True,
            purge_model_variables=True,
        )

        def run(steps):
            nonlocal state
            for _ in range(-(-steps // size)):
                logs, state = model.train_function(state, itertools.repeat(batch))
            keras.tree.map_structure(np.asarray, logs)

        return run
    import tensorflow as tf

    iterator = iter(tf.data.Dataset.from_tensors(batch).repeat())

    def run(steps):
        for _ in range(-(-steps // size)):
            logs = model.train_function(iterator)
        keras.tree.map_structure(lambda value: value.numpy(), logs)

    return run


class Estimate:
    """A row that estimates or samples, by the library's own function."""

    def __init__(self, workload):
        self.workload = workload
        self.number = 0
        self._call = getattr(self, f"_{workload.family}")()

    def run(self, steps):
        self.number += 1
        return float(np.mean([self._call(self.number) for _ in range(steps)]))

    def _iw_likelihood(self):
        model = latent(self.workload)
        set_weights(self.workload, lambda player: getattr(model, player).trainable_variables)
        x, options = self.workload.data(self.workload.batch), self.workload.options
        samples = self.workload.num_samples
        return lambda seed: np.mean(
            model.log_likelihood(x, samples, seed, rows=len(x), chunk=options["chunk"])
        )

    def _langevin(self):
        field = dgm.models.RandomField(mlp([100, 100], "leaky_relu", output_units=1), (2,))
        set_weights(self.workload, lambda player: field.trainable_variables)
        moves = self.workload["moves"]
        sampler = dgm.sampling.Langevin(self.workload["step_size"], num_steps=moves)
        start = np.random.default_rng(0).normal(size=(self.workload.batch, 2))

        def call(seed):
            state = dgm.sampling.simulate(sampler, field, start, seed).state
            return np.mean(ops.convert_to_numpy(field.potential(state)))

        return call

    def _annealing(self):
        machine = dgm.models.RBM((784,), 200)
        set_weights(self.workload, lambda player: machine.trainable_variables)
        path, kernel = machine.annealing_path(), machine.annealing_kernel()

        def call(seed):
            estimate = dgm.sampling.annealed_importance_sampling
            steps, chains = self.workload["temperatures"], self.workload.batch
            return estimate(path, kernel, steps, chains, seed).log_partition

        return call


def Loop(workload):
    """What runs the row: `Training` or `Estimate`."""
    return (Training if workload.is_training else Estimate)(workload)
