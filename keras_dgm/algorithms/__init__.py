"""How it is learned: one algorithm a file."""
