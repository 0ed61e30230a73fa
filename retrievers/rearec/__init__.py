"""Sequential recommendation with latent reasoning (ReaRec: Tang et al. 2025, arXiv 2503.22675)."""

from retrievers.rearec.plugin import ReaRec

__all__ = ["ReaRec"]
