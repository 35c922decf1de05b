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
exact = oracle.loss_gradient("iw_bound", x, num_samples=2)   # a list of arrays for each player
report = testing.check_gradient_estimator(
    algorithm, testing.joint(exact), num_draws=200, data=x, batch_copies=500
)
assert report.passed(), report          # mean within 4 standard errors; print(report) says more

# A sampler started from exact draws must stay there.
report = testing.check_stationarity(kernel, draw_exact, cdf=scipy.stats.norm.cdf, num_steps=10)
assert report.passed(), report
```

A check is worth something once a deliberately wrong estimator has failed it.

What is exact here:
- `EnumerableModel` (belief networks of Bernoulli or categorical layers), `FunctionalModel` (any
  finite latent space, by two functions): log p(x), posterior, ELBO, IW bounds, and the expected
  update of every learning rule, by `gradient(rule, x)` and `loss_gradient(rule, x)`;
- `LinearGaussianModel` in closed form, `QuadratureModel` (one continuous latent variable) with
  the expectations of IWAE, DReG and path-derivative estimators;
- `EnumerableRBM`, `EnumerableDBM`, `EnumerableDBN`, and `GridDensity` for random fields in one to
  three dimensions;
- Markov chains as matrices, `DiracGAN`, f-divergences and their best normal fits, NCE by
  quadrature, `LinearHelmholtzMachine`, denoising chains and walkback as tables, normal,
  Bernoulli and categorical KL divergences;
- anything else: `numeric_gradient` turns an exact value into an exact gradient.
"""

from keras_dgm.testing.belief_network import EnumerableModel, FunctionalModel
from keras_dgm.testing.boltzmann import EnumerableDBM, EnumerableDBN
from keras_dgm.testing.denoising import (
    bayes_reconstruction,
    denoising_loss,
    flip_corruption,
    walkback_fixed_point,
    walkback_gradient,
    walkback_weights,
)
from keras_dgm.testing.dirac_gan import DiracGAN
from keras_dgm.testing.divergences import (
    F_DIVERGENCES,
    TOY_MIXTURE,
    NormalFit,
    alpha_divergence,
    f_divergence,
    fit_normal,
    mixture_log_prob,
)
from keras_dgm.testing.enumeration import FiniteLatentModel
from keras_dgm.testing.gaussian import (
    bernoulli_kl,
    categorical_kl,
    langevin_stationary_variance,
    mean_field_gap,
    multivariate_normal_kl,
    multivariate_normal_log_prob,
    normal_entropy,
    normal_kl,
    normal_log_prob,
    sghmc_stationary_variance,
    spectral_norm,
)
from keras_dgm.testing.gradient_check import GradientReport, check_gradient_estimator, joint
from keras_dgm.testing.grid import GridDensity
from keras_dgm.testing.helmholtz import LinearHelmholtzMachine, energy_sampler_objective
from keras_dgm.testing.linear_gaussian import LinearGaussianModel
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
from keras_dgm.testing.noise_contrastive import dynamic_nce_loss, nce_loss
from keras_dgm.testing.numeric import (
    binary_states,
    inverse_softplus,
    log_sum_exp,
    numeric_gradient,
    numeric_jacobian,
    sigmoid,
    softplus,
)
from keras_dgm.testing.order_check import OrderReport, check_order
from keras_dgm.testing.plugging import PluggingReport, check_plugging
from keras_dgm.testing.quadrature import QuadratureModel
from keras_dgm.testing.rbm import EnumerableRBM
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
    "DiracGAN",
    "EnumerableDBM",
    "EnumerableDBN",
    "EnumerableModel",
    "EnumerableRBM",
    "F_DIVERGENCES",
    "FiniteLatentModel",
    "FunctionalModel",
    "GradientReport",
    "GridDensity",
    "LinearGaussianModel",
    "LinearHelmholtzMachine",
    "MultiSampleExpectations",
    "NormalFit",
    "OrderReport",
    "PluggingReport",
    "QuadratureModel",
    "StationarityReport",
    "TOY_MIXTURE",
    "alpha_divergence",
    "bayes_reconstruction",
    "bernoulli_kl",
    "binary_states",
    "categorical_kl",
    "check_detailed_balance",
    "check_gradient_estimator",
    "check_order",
    "check_plugging",
    "check_stationarity",
    "check_transition_matrix",
    "chi_square_test",
    "denoising_loss",
    "detailed_balance_gap",
    "dynamic_nce_loss",
    "energy_sampler_objective",
    "f_divergence",
    "fit_normal",
    "flip_corruption",
    "inverse_softplus",
    "joint",
    "langevin_stationary_variance",
    "log_sum_exp",
    "mean_field_gap",
    "metropolis_independence_matrix",
    "mixture_log_prob",
    "multisample_expectations",
    "multivariate_normal_kl",
    "multivariate_normal_log_prob",
    "nce_loss",
    "normal_entropy",
    "normal_kl",
    "normal_log_prob",
    "numeric_gradient",
    "numeric_jacobian",
    "sghmc_stationary_variance",
    "sigmoid",
    "softplus",
    "spectral_norm",
    "stationarity_gap",
    "stationary_distribution",
    "total_variation",
    "visited_distribution",
    "walkback_fixed_point",
    "walkback_gradient",
    "walkback_weights",
]
