"""Dialogues: reading, removing overlap, windows and pairs."""

from retrievers.goals.data.dialogues import Dialogues
from retrievers.goals.data.overlap import without_overlap
from retrievers.goals.data.pairs import Pairs, pairs, windows
from retrievers.goals.data.reading import read
from retrievers.goals.data.split import Split, split_of

__all__ = ["Dialogues", "Pairs", "Split", "pairs", "read", "split_of", "windows", "without_overlap"]
