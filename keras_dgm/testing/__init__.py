"""Exact answers to hold a learning rule, a bound or a sampler against.

Everything here is NumPy float64, written without the rest of the library, in nats. Models small
enough to enumerate give every value and gradient exactly, and the checks compare what is
stochastic with what is exact:

```python
import numpy as np
from keras_dgm import testing

oracle = testing.EnumerableModel.random(pixels=4, latents=[3, 2], seed=0)
x = np.array([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
oracle.log_marginal(x), oracle.elbo(x), oracle.iw_bound(x, num_samples=2)   # (2,) nats each

# Give the library's model the oracle's weights (kernels are (inputs, outputs), as in Keras) ...
for variable, value in zip(model.inference.trainable_variables, oracle.inference_parameters):
    variable.assign(value)
# ... and ask whether its stochastic gradients have the right mean.
exact = oracle.loss_gradient("iw_bound", x, num_samples=2)   # by player, of the minimised loss
report = testing.check_gradient_estimator(algorithm, exact, 200, data=x, batch_copies=500)
assert report.passed(), report          # mean within 4 standard errors; print(report) says more

# A sampler started from exact draws must stay there.
report = testing.check_stationarity(kernel, draw_exact, cdf=scipy.stats.norm.cdf, num_steps=10)
assert report.passed(), report
```

A check is worth something once a deliberately wrong estimator has failed it.
"""

from keras_dgm.testing.belief_network import EnumerableModel, FunctionalModel
from keras_dgm.testing.enumeration import FiniteLatentModel
from keras_dgm.testing.gradient_check import GradientReport, check_gradient_estimator
from keras_dgm.testing.markov import (
    check_detailed_balance,
    detailed_balance_gap,
    metropolis_independence_matrix,
    stationarity_gap,
    stationary_distribution,
    total_variation,
    visited_distribution,
)
from keras_dgm.testing.multisample import MultiSampleExpectations, multisample_expectations
from keras_dgm.testing.numeric import binary_states, numeric_gradient, numeric_jacobian
from keras_dgm.testing.order_check import OrderReport, check_order
from keras_dgm.testing.stationarity_check import (
    StationarityReport,
    check_stationarity,
    check_transition_matrix,
    chi_square_test,
)
from keras_dgm.testing.stochastic_layers import BernoulliNetwork, CategoricalNetwork

__all__ = [
    "BernoulliNetwork",
    "CategoricalNetwork",
    "EnumerableModel",
    "FiniteLatentModel",
    "FunctionalModel",
    "GradientReport",
    "MultiSampleExpectations",
    "OrderReport",
    "StationarityReport",
    "binary_states",
    "check_detailed_balance",
    "check_gradient_estimator",
    "check_order",
    "check_stationarity",
    "check_transition_matrix",
    "chi_square_test",
    "detailed_balance_gap",
    "metropolis_independence_matrix",
    "multisample_expectations",
    "numeric_gradient",
    "numeric_jacobian",
    "stationarity_gap",
    "stationary_distribution",
    "total_variation",
    "visited_distribution",
]
