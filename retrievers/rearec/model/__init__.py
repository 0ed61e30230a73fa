"""The network: items, a backbone that reads histories, latent reasoning steps behind it, and losses."""

from retrievers.rearec.model.options import ModelOptions
from retrievers.rearec.model.sequential import SequentialModel

__all__ = ["ModelOptions", "SequentialModel"]
