"""Learning rules: symmetric."""
