"""Detectors: a score of suspicion for every listing, and a threshold that honest listings seldom pass."""
