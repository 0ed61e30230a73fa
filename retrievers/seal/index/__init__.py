"""An index of all n-grams of a corpus of token ids."""

from retrievers.seal.index.arrays import END, START
from retrievers.seal.index.edited import EditedIndex
from retrievers.seal.index.ngrams import Beams, Children, NgramIndex, Places
from retrievers.seal.index.storage import load, save

__all__ = ["END", "START", "Beams", "Children", "EditedIndex", "NgramIndex", "Places", "load", "save"]
