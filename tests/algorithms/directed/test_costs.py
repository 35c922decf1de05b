"""Network passes of one step, as the docstrings state them."""

import keras
import numpy as np
import pytest
from discrete import counted_network

import keras_dgm as dgm

ROWS, K = 3, 4
DATA = np.zeros((ROWS, 4), "float32")
INDEX = {"index": np.arange(ROWS, dtype="int32")}

# Rows of each pass in a step: (inference, generative).
PASSES = {
    "vae": (dgm.VAE, {"num_samples": K, "estimator": "score_function"}, [ROWS], [K * ROWS]),
    "jsa": (dgm.JSA, {"num_samples": K, "num_data": ROWS}, [ROWS], [(K + 1) * ROWS]),
    "jsa_sleep": (
        dgm.JSA,
        {"num_samples": K, "num_data": ROWS, "sleep_weight": 1.0},
        [ROWS, ROWS],
        [(K + 1) * ROWS, ROWS],
    ),
    "reinforce": (dgm.VariationalREINFORCE, {"num_samples": K}, [ROWS], [K * ROWS]),
    "nvil": (dgm.NVIL, {"num_samples": K}, [ROWS], [K * ROWS]),
    "muprop": (dgm.MuProp, {"num_samples": K}, [ROWS, ROWS], [ROWS, K * ROWS]),
    "vimco": (dgm.VIMCO, {"num_samples": K}, [ROWS], [K * ROWS]),
    "gumbel_softmax": (dgm.GumbelSoftmax, {"num_samples": K}, [ROWS], [K * ROWS]),
    "wake_sleep": (dgm.WakeSleep, {"num_samples": K}, [ROWS, ROWS], [K * ROWS, ROWS]),
    "rws_wake": (dgm.ReweightedWakeSleep, {"num_samples": K}, [ROWS], [K * ROWS]),
    "rws_sleep": (
        dgm.ReweightedWakeSleep,
        {"num_samples": K, "phi_update": "sleep"},
        [ROWS, ROWS],
        [K * ROWS, ROWS],
    ),
    "rws_both": (
        dgm.ReweightedWakeSleep,
        {"num_samples": K, "phi_update": "both"},
        [ROWS, ROWS],
        [K * ROWS, ROWS],
    ),
    "alternating": (
        dgm.ReweightedWakeSleep,
        {"num_samples": K, "updates": "alternating"},
        [ROWS] * 2,
        [K * ROWS] * 2,
    ),
}


@pytest.mark.parametrize("name", PASSES)
def test_a_step_takes_the_passes_that_its_docstring_states(name):
    cls, options, inference_passes, generative_passes = PASSES[name]
    generative, inference, counters = counted_network()
    model = cls(generative, inference, seed=0, **options)
    model.compile(keras.optimizers.SGD(0.1))
    for counter in counters.values():
        counter.passes.clear()
    model.train_step({"x": keras.ops.convert_to_tensor(DATA), **INDEX})
    assert counters["inference"].passes == inference_passes
    assert counters["generative"].passes == generative_passes


def test_an_upper_layer_sees_the_samples_once():
    """K draws go through the second layer as rows of one batch, not in a loop."""
    from discrete import Counter

    from keras_dgm.distributions import Bernoulli, Chain

    counter = Counter()
    inference = Chain([Bernoulli((5,)), Bernoulli((3,), network=counter)])
    prior = Chain([Bernoulli((3,)), Bernoulli((5,))])
    generative = dgm.models.LatentVariableModel(prior, Bernoulli((4,)))
    model = dgm.VIMCO(generative, inference, num_samples=K, seed=0)
    model.compile(keras.optimizers.SGD(0.1))
    counter.passes.clear()
    model.train_step({"x": keras.ops.convert_to_tensor(DATA)})
    assert counter.passes == [K * ROWS]


GAUSSIAN_PASSES = {
    "vae": (dgm.VAE, {}, [ROWS], [K * ROWS]),
    "iwae": (dgm.IWAE, {}, [ROWS], [K * ROWS]),
    "dreg": (dgm.IWAE, {"estimator": "dreg"}, [ROWS] * 2, [K * ROWS] * 2),
    "path": (dgm.IWAE, {"estimator": "path_derivative"}, [ROWS] * 2, [K * ROWS]),
    "semi_amortized": (
        dgm.SemiAmortizedVAE,
        {"inner_steps": 2, "inner_samples": 2},
        [ROWS],
        [2 * ROWS] * 2 + [K * ROWS],
    ),
    # One leapfrog step: JAX traces the loop once, however many there are.
    "hamiltonian": (dgm.HamiltonianVAE, {"num_steps": 1}, [ROWS], [K * ROWS] * 3),
}


@pytest.mark.parametrize("name", GAUSSIAN_PASSES)
def test_a_step_on_gaussian_latents_takes_its_passes(name):
    from discrete import Counter

    from keras_dgm.distributions import Bernoulli, Normal

    cls, options, inference_passes, generative_passes = GAUSSIAN_PASSES[name]
    counters = {"generative": Counter(), "inference": Counter()}
    generative = dgm.models.LatentVariableModel(
        Normal((5,)), Bernoulli((4,), network=counters["generative"])
    )
    inference = Normal((5,), network=counters["inference"])
    model = cls(generative, inference, num_samples=K, seed=0, **options)
    model.compile(keras.optimizers.SGD(0.1))
    for counter in counters.values():
        counter.passes.clear()
    model.train_step({"x": keras.ops.convert_to_tensor(DATA)})
    assert counters["inference"].passes == inference_passes
    assert counters["generative"].passes == generative_passes
