"""A stack as an attacker may see it: permissions enforced, every call paid for before anything is computed."""

from testbed.victim.ensemble import EnsembleVictim, attackable
from testbed.victim.meter import AccessDenied, BudgetExhausted, Meter, Unheeded
from testbed.victim.single import StackVictim

__all__ = [
    "AccessDenied",
    "BudgetExhausted",
    "EnsembleVictim",
    "Meter",
    "StackVictim",
    "Unheeded",
    "attackable",
]
