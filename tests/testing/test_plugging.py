"""The plugging check of Ou 2019, Appendix A, on games whose answer is known."""

import numpy as np
import pytest

from keras_dgm.testing import LinearHelmholtzMachine, check_plugging


def log_ratio(phi):
    """Coefficients of log N(h; m, s^2) - log N(h; 0, 1) in 1, h, h^2."""
    m, log_s = phi
    s = np.exp(log_s)
    return np.array([-log_s - 0.5 * m**2 / s**2, m / s**2, 0.5 - 0.5 / s**2])


def moments(phi):
    m, log_s = phi
    return np.array([1.0, m, m**2 + np.exp(2 * log_s)])


PHI = np.array([0.6, -0.4])


def test_adversarial_variational_bayes_is_valid():
    # KL(q || p) = E_q V*: E_q grad_phi V* = 0, the score's mean.
    report = check_plugging(lambda phi, psi: moments(phi) @ psi, log_ratio, PHI)
    assert report.passed(), report
    m, s = PHI[0], np.exp(PHI[1])
    assert np.allclose(report.total, [m, s**2 - 1], atol=1e-6)


def test_another_function_of_the_ratio_is_not():
    # F = (E_q V)^2 / 2 + E_p V: equal values, but the second term's psi-gradient is ignored.
    prior = np.array([1.0, 0.0, 1.0])
    report = check_plugging(lambda phi, psi: prior @ psi, log_ratio, PHI)
    assert not report.passed() and "NOT VALID" in str(report)
    assert np.allclose(report.plugged, 0.0) and np.abs(report.total).max() > 0.1


def test_critics_of_the_helmholtz_machine():
    oracle = LinearHelmholtzMachine()

    def sleep_prior(phi, psi):
        """E_P(x) of -log N(x; 0, psi), up to a constant."""
        variance = oracle.with_parameters(phi).visible_variance
        return 0.5 * variance / psi[0] + 0.5 * np.log(psi[0])

    def data_variance(phi):
        return np.array([oracle.data_scale**2])

    def model_variance(phi):
        return np.array([oracle.with_parameters(phi).visible_variance])

    # log Q(x) does not depend on the decoder. A critic of P(x) would, and is valid only because
    # the cross-entropy is at its minimum there; with another normaliser it is not.
    for solution in (data_variance, model_variance):
        report = check_plugging(sleep_prior, solution, oracle.parameters)
        assert report.passed(), report
    report = check_plugging(
        lambda phi, psi: sleep_prior(phi, psi) - np.log(psi[0]), model_variance, oracle.parameters
    )
    assert not report.passed()


def test_values_that_are_not_finite():
    with pytest.raises(ValueError, match="not finite"):
        check_plugging(lambda phi, psi: np.inf, lambda phi: phi, PHI)
