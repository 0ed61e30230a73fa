"""For authors of plug-ins: property-based checks of a class of one's own, strategies, and toy stand-ins."""

from testbed.testing.check_attack import check_attack
from testbed.testing.check_catalog import check_catalog
from testbed.testing.check_stage import check_stage
from testbed.testing.failures import CheckFailed
from testbed.testing.scenario_strategies import scenarios
from testbed.testing.strategies import budgets, catalogs, edits, interventions, requests, situations, slates
from testbed.testing.texts import texts, words
from testbed.testing.tiny import tiny_encoder, tiny_language_model, tiny_tokenizer
from testbed.testing.tiny_sentences import tiny_sentence_encoder
from testbed.testing.tiny_seq2seq import tiny_encoder_decoder
from testbed.testing.toy import ToyObjective, ToyRanker
from testbed.testing.toy_world import (
    ToyAttack,
    ToyCatalog,
    ToyEnvironment,
    toy_catalog,
    toy_registry,
    toy_stack,
)

__all__ = [
    "CheckFailed",
    "ToyAttack",
    "ToyCatalog",
    "ToyEnvironment",
    "ToyObjective",
    "ToyRanker",
    "budgets",
    "catalogs",
    "check_attack",
    "check_catalog",
    "check_stage",
    "edits",
    "interventions",
    "requests",
    "scenarios",
    "situations",
    "slates",
    "texts",
    "tiny_encoder",
    "tiny_encoder_decoder",
    "tiny_language_model",
    "tiny_sentence_encoder",
    "tiny_tokenizer",
    "toy_catalog",
    "toy_registry",
    "toy_stack",
    "words",
]
