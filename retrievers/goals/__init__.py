"""Goal planning in dialogues by curved contrastive learning (Erker et al. 2022, arXiv 2211.07591)."""

from retrievers.goals.plugin import Goals

__all__ = ["Goals"]
