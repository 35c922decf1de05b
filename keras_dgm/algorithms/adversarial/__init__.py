"""Learning a generator against critics."""
