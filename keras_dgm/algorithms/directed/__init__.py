"""Learning rules for directed models (Ou 2019, section 3)."""
