"""Heads that curve the space of a sentence encoder, and what teaches them."""

from retrievers.goals.model.heads import CurvedHeads
from retrievers.goals.model.losses import LOSSES, Loss

__all__ = ["LOSSES", "CurvedHeads", "Loss"]
