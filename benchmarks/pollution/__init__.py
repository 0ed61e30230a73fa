"""Attacks on histories and on the training of sequential recommenders."""
