"""What plug-ins implement: stages, attacks, objectives, catalogs; and what they are given in return.

A plug-in is a frozen pydantic model whose fields are its options in a scenario file. Optional abilities
of a built stage are protocols of their own, found by `isinstance`.
"""

from testbed.protocols.detecting import Detecting, Verdict
from testbed.protocols.gradients import Differentiable, Surface, TokenGradient
from testbed.protocols.plugins import (
    AttackPlugin,
    CatalogPath,
    CatalogPlugin,
    Charge,
    ObjectivePlugin,
    Observer,
    ObserverPlugin,
    Options,
    Plugin,
    StagePlugin,
    TrainerPlugin,
)
from testbed.protocols.proposing import Continuation, Piece, Proposing, Sampling, Seeking, Sought
from testbed.protocols.scoring import Objective, Probe, Scorable, ScorableTogether, Scores, Screening
from testbed.protocols.stage import Access, Batched, Context, Editable, Priced, Stage, Tokenized
from testbed.protocols.victim import Step, Victim

__all__ = [
    "Access",
    "AttackPlugin",
    "Batched",
    "CatalogPath",
    "CatalogPlugin",
    "Charge",
    "Context",
    "Continuation",
    "Detecting",
    "Differentiable",
    "Editable",
    "Objective",
    "ObjectivePlugin",
    "Observer",
    "ObserverPlugin",
    "Options",
    "Piece",
    "Plugin",
    "Priced",
    "Probe",
    "Proposing",
    "Sampling",
    "Scorable",
    "ScorableTogether",
    "Scores",
    "Screening",
    "Seeking",
    "Sought",
    "Stage",
    "StagePlugin",
    "Step",
    "Surface",
    "TokenGradient",
    "Tokenized",
    "TrainerPlugin",
    "Verdict",
    "Victim",
]
