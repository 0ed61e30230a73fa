"""The defences that are measured, as a user would name them, and the stage that each stands around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from family.rows import Row

from attacks.gcg import GCG
from attacks.hill_climb import HillClimb
from attacks.injection import Injection
from defences.detectors.agreement import Agreement
from defences.detectors.attribution import Attribution
from defences.detectors.detector import Detector
from defences.detectors.known_answer import KnownAnswer
from defences.detectors.likelihood_ratio import LikelihoodRatio
from defences.detectors.perplexity import Perplexity
from defences.detectors.schema import Schema
from defences.detectors.windowed_perplexity import WindowedPerplexity
from defences.ensembles.smooth import Smooth
from defences.ensembles.vote import Vote
from defences.rewriters.evidence_sheet import EvidenceSheet
from defences.rewriters.sandwich import Sandwich
from defences.rewriters.spotlight import Spotlight
from defences.rewriters.summarise import Summarise
from retrievers.dense import Dense
from retrievers.llm import LanguageModelRecommender
from testbed.protocols import StagePlugin

DETECTORS: dict[str, Detector] = {
    "schema": Schema(),
    "perplexity": Perplexity(),
    "windowed_perplexity": WindowedPerplexity(),
    "likelihood_ratio": LikelihoodRatio(),
}
TUNED = LanguageModelRecommender(model="smollm2-135m-recommender", reading="pointwise")
PRIOR = TUNED.model_copy(update={"prior": "subtract"})
LISTWISE = LanguageModelRecommender(model="smollm2-135m-recommender")
PROBES: dict[str, Detector] = {"known_answer": KnownAnswer(asked=TUNED)}
BARE, LIST = "none (pointwise)", "none (listwise)"
DEFENCES: dict[str, tuple[StagePlugin, str]] = {
    BARE: (TUNED, BARE),
    "schema": (Schema(over=TUNED), BARE),
    "perplexity": (Perplexity(over=TUNED), BARE),
    "windowed_perplexity": (WindowedPerplexity(over=TUNED), BARE),
    "likelihood_ratio": (LikelihoodRatio(over=TUNED), BARE),
    "summarise": (Summarise(over=TUNED), BARE),
    "evidence_sheet": (EvidenceSheet(over=TUNED), BARE),
    "spotlight: delimit": (Spotlight(over=TUNED, how="delimit"), BARE),
    "spotlight: datamark": (Spotlight(over=TUNED), BARE),
    "spotlight: encode": (Spotlight(over=TUNED, how="encode"), BARE),
    "sandwich": (Sandwich(over=TUNED), BARE),
    "smooth, 3 votes": (Smooth(over=TUNED, votes=3), BARE),
    "agreement with dense": (Agreement(over=TUNED, other=Dense(k=1000)), BARE),
    "prior subtracted": (PRIOR, BARE),
    LIST: (LISTWISE, LIST),
    "vote, 5 votes": (Vote(over=LISTWISE), LIST),
    "attribution": (Attribution(over=LISTWISE), LIST),
}
"""Of `cost`: name → the defended stage, and the row without the defence."""


@dataclass(frozen=True)
class Adaptive:
    """A defence that attacks are searched through. `queries`: the budget of each of `attacks`."""

    plugin: StagePlugin
    base: str = BARE
    queries: int = 120
    attacks: Sequence[str] = ("injection", "hill_climb", "gcg")


ATTACKS: dict[str, Row] = {
    "injection": Row("injection", Injection(signal="scores", longest=24), (), "scores"),
    "hill_climb": Row("hill_climb", HillClimb(length=10, longest=14, width=8, finalists=2), (), "scores"),
    "gcg": Row("gcg", GCG(tokens=16, width=12, finalists=2), (), "gradients"),
}
DEAR = ("injection", "gcg")
ADAPTIVE: dict[str, Adaptive] = {
    **{
        name: Adaptive(plugin)
        for name, (plugin, base) in DEFENCES.items()
        if base == BARE and name != "agreement with dense"
    },
    "known_answer": Adaptive(KnownAnswer(asked=TUNED, over=TUNED), queries=30, attacks=("injection",)),
    "agreement with dense": Adaptive(Agreement(over=TUNED, other=Dense(k=1000)), queries=60, attacks=DEAR),
    "attribution": Adaptive(Attribution(over=TUNED), queries=60, attacks=DEAR),
    LIST: Adaptive(LISTWISE, LIST, queries=60, attacks=DEAR),
    "vote, 3 votes": Adaptive(Vote(over=LISTWISE, votes=3), LIST, queries=60, attacks=DEAR),
}
"""Of the adaptive attacks. What asks for whole rankings to judge one text has less budget and fewer attacks."""
