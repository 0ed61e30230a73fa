"""Histories of users: reading, splitting, batching."""

from retrievers.rearec.data.fakes import Fakes, poisoned
from retrievers.rearec.data.interactions import Interactions
from retrievers.rearec.data.reading import read
from retrievers.rearec.data.split import Fold, Split, held_out_users, leave_one_out, time_split

__all__ = [
    "Fakes",
    "Fold",
    "Interactions",
    "Split",
    "held_out_users",
    "leave_one_out",
    "poisoned",
    "read",
    "time_split",
]
