"""Scenario files: `load` reads one and reports every fault of it at once."""

from testbed.scenario.choices import AttackChoice, CatalogChoice, ObjectiveChoice, StageChoice
from testbed.scenario.fields import ARMS
from testbed.scenario.load import from_mapping, load, loads
from testbed.scenario.model import SOURCE, Scenario
from testbed.scenario.sections import Budget, Evaluate, Machine, Optimise, Split, Targets, Threat, Validate

__all__ = [
    "ARMS",
    "SOURCE",
    "AttackChoice",
    "Budget",
    "CatalogChoice",
    "Evaluate",
    "Machine",
    "ObjectiveChoice",
    "Optimise",
    "Scenario",
    "Split",
    "StageChoice",
    "Targets",
    "Threat",
    "Validate",
    "from_mapping",
    "load",
    "loads",
]
