"""Ensembles: a stage is asked several times, under other orders or with disturbed texts, and the rankings vote."""
