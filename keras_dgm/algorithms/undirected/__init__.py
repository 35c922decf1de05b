"""Learning rules: undirected."""
