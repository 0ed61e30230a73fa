"""What cosines of before and after say about the next utterance, replies and goals."""

from retrievers.goals.scoring.curvature import Curvature
from retrievers.goals.scoring.long_term import chains, chains_with_curving, greedy_curving
from retrievers.goals.scoring.next_utterance import Running, full_scores
from retrievers.goals.scoring.ranks import mid_rank, mid_ranks
from retrievers.goals.scoring.short_term import reply_scores

__all__ = [
    "Curvature",
    "Running",
    "chains",
    "chains_with_curving",
    "full_scores",
    "greedy_curving",
    "mid_rank",
    "mid_ranks",
    "reply_scores",
]
