"""SEAL: retrieval by generating n-grams of the corpus (Bevilacqua et al. 2022, arXiv 2204.10628)."""

from retrievers.seal.plugin import SEAL

__all__ = ["SEAL"]
