"""Detectors that judge a ranking, not a text: what the stage made of a listing is the evidence."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from defences.change import Change
from defences.options import Wrapper, as_json
from testbed.protocols import CatalogPlugin, Context, Priced
from testbed.types import Intervention, Situation, Slate, Usage

if TYPE_CHECKING:
    import numpy as np

    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.protocols import Probe, Stage

Scores = Mapping[str, float]


class Judge(Wrapper):
    """Base of detectors that judge the ranking of the stage they stand around: write `suspicion`.

    The threshold is a split conformal quantile over the rankings that the stage gives for requests of calibration
    catalogs, where nobody has tampered with a listing.
    """

    action: Literal["drop", "demote"] = "demote"
    """What happens to a listing above the threshold: it is put behind all others, or left out."""
    fpr: float = Field(default=0.05, gt=0, lt=1)
    """False positive rate on ranked honest listings."""
    calibration: tuple[CatalogPlugin, ...] | None = None
    """Catalogs with requests; the training pages of `made_up` when left out."""
    requests: int = Field(default=12, ge=1)
    """Requests of each calibration catalog that are ranked."""

    def suspicion(
        self, stage: Any, aid: Any, context: Context, slate: Slate, answer: Slate, wanted: Collection[str]
    ) -> tuple[Scores, Usage]:
        """Scores of the wanted listings that the stage has ranked, higher is more suspicious, and what it took.

        `aid`: what `helper` made. `answer`: the stage's ranking of the slate.
        """
        raise NotImplementedError

    def cost(self, stage: Any, aid: Any, context: Context, slate: Slate) -> int:
        """Most tokens that judging takes beside the ranking itself."""
        return 0

    def helper(self, catalog: Catalog, env: Environment) -> Any:
        """What judging needs besides the stage."""
        return None

    def build(self, catalog: Catalog, env: Environment) -> Stage:
        """Calibrate, and stand around the stage."""
        from defences.through import through

        limit, spread = self.calibrated(env)
        stage = self.over.build(catalog, env)
        return through(stage, Judged(self, stage, self.helper(catalog, env), limit, spread))

    def calibrated(self, env: Environment) -> tuple[float, float]:
        """Threshold, and how far it is from the middle; inf and a warning where there are too few listings."""
        import numpy as np

        from defences.detectors.conformal import needed, threshold
        from defences.detectors.honest import made_up
        from defences.detectors.suspicion import kept

        scores: list[float] = []
        for plugin in (made_up(),) if self.calibration is None else self.calibration:
            catalog = plugin.load()
            model = getattr(self.over.build(catalog, env), "model", None)
            options = as_json(self, without=("action", "fpr", "calibration"))
            key = json.dumps([options, catalog.fingerprint, getattr(model, "fingerprint", "")])
            scores += kept(key, env.cache, partial(self._honest, catalog, env))
        limit = threshold(scores, self.fpr)
        if math.isinf(limit):
            warnings.warn(
                f"{type(self).__name__}: {len(scores)} ranked honest listings are too few for a false positive rate of "
                f"{self.fpr:g}, which needs {needed(self.fpr)}: nothing will be flagged; raise requests, or fpr",
                stacklevel=3,
            )
            return limit, 1.0
        return limit, max(limit - float(np.median(scores)), 0.1)

    def _honest(self, catalog: Catalog, env: Environment) -> list[float]:
        from defences.detectors.suspicion import sound

        stage, aid = self.over.build(catalog, env), self.helper(catalog, env)
        scores: list[float] = []
        for request in catalog.requests[: self.requests]:
            context = Context(request, Situation(request.id, 0), None, 0)
            slate = catalog.source((), request)
            answer = stage(context, slate)
            found, _ = self.suspicion(stage, aid, context, slate, answer, answer.ids)
            sound(type(self).__name__, found.values(), found, " of a calibration catalog")
            scores += found.values()
        return scores


@dataclass(frozen=True)
class Judged(Change):
    """Asks the stage, judges its ranking, and demotes or drops what is above the threshold."""

    options: Judge
    stage: Any
    aid: Any
    limit: float
    spread: float
    reindexed = True

    def with_edits(self, intervention: Intervention) -> Judged:
        """With the stage, and what helps judging, edited."""
        edited = [
            one.with_edits(intervention) if hasattr(one, "with_edits") else one
            for one in (self.stage, self.aid)
        ]
        return replace(self, stage=edited[0], aid=edited[1])

    def price(self, context: Context, slate: Slate) -> int:
        """What judging takes, and the ranking that is judged when it is scored."""
        ranking = self.stage.price(context, slate) if isinstance(self.stage, Priced) else 0
        return self.options.cost(self.stage, self.aid, context, slate) + int(ranking)

    def joined(self, context: Context, slate: Slate, answers: Sequence[Slate]) -> Slate:
        """The stage's ranking without, or at the end with, what is suspicious."""
        (answer,) = answers
        if math.isinf(self.limit):
            return answer
        scores, usage = self._scores(context, slate, answer, answer.ids)
        flagged = [item_id for item_id in answer.ids if scores.get(item_id, -math.inf) > self.limit]
        usage = answer.usage + usage
        if not flagged:
            return replace(answer, usage=usage)
        good = [listing for listing in answer.listings if listing.item_id not in flagged]
        if self.options.action == "demote":
            good += [replace(one, score=None) for one in answer.listings if one.item_id in flagged]
        detail = {**answer.detail, "flagged": flagged}
        note = "; ".join(filter(None, (answer.note, f"flagged: {', '.join(flagged)}")))
        return replace(answer, listings=tuple(good), usage=usage, note=note, detail=detail)

    def settled(self, probe: Probe, losses: np.ndarray) -> np.ndarray:
        """The stage's losses; between 500 and 1,000 where the target is flagged, see `testbed.victim.slope`."""
        from testbed.victim.slope import BEST, WORST, squashed

        found, target = losses.copy(), probe.context.target_id or ""
        if math.isinf(self.limit):
            return found
        for index, slate in enumerate(probe.slates):
            if slate.rank_of(target) is not None:
                scores, _ = self._scores(probe.context, slate, self.stage(probe.context, slate), (target,))
                above = (scores.get(target, -math.inf) - self.limit) / self.spread
                if above > 0:
                    found[index] = BEST + (WORST - BEST) * squashed(100 * above)
        return found

    def _scores(
        self, context: Context, slate: Slate, answer: Slate, wanted: Collection[str]
    ) -> tuple[Scores, Usage]:
        return self.options.suspicion(self.stage, self.aid, context, slate, answer, wanted)
