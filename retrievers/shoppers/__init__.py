"""Simulated shoppers: what they care about, look at and say. They stand for logs that our catalogs do not have."""

from retrievers.shoppers.facts import Facts
from retrievers.shoppers.taste import Taste
from retrievers.shoppers.visits import LEARNT_FROM, SEED, Visit, session, visits

__all__ = ["LEARNT_FROM", "SEED", "Facts", "Taste", "Visit", "session", "visits"]
