"""Learning rules: adversarial."""
