"""Several vendors at once: each chooses what to write, and is paid by how far up it ends. Payoffs and equilibria."""

from testbed.game.equilibria import Equilibrium, fictitious_play, logit, nash, pure, support_enumeration
from testbed.game.measured import Game, Lines, measure
from testbed.game.payoffs import against, expected, exploitability
from testbed.game.tables import game_tables
from testbed.game.text import text

__all__ = [
    "Equilibrium",
    "Game",
    "Lines",
    "against",
    "expected",
    "exploitability",
    "fictitious_play",
    "game_tables",
    "logit",
    "measure",
    "nash",
    "pure",
    "support_enumeration",
    "text",
]
