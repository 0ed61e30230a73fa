"""Options of every detector, and what is made of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from defences.options import Around
from testbed.protocols import CatalogPlugin
from testbed.seeds import derive

if TYPE_CHECKING:
    from defences.detectors.conformal import Calibration
    from defences.detectors.honest import Honest
    from defences.detectors.screen import Key, Known
    from defences.detectors.suspicion import Reader, Suspicion
    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.protocols import Stage

Action = Literal["drop", "demote", "strip"]
OWN = "own"
"""The group of the catalog's own listings."""


class Detector(Around):
    """Base of detectors that look at a listing's text: write `judge` or `reader`, and all options below are there.

    The threshold is a split conformal quantile over honest listings: those of the catalog itself, those with its
    honest texts, and those of calibration catalogs. A listing is never judged by a threshold that it had a part in.
    """

    detects: ClassVar[bool] = True
    fits: ClassVar[bool] = False
    """Whether the reader is fitted on the half of the honest listings that `fitted` tells; they calibrate nothing."""

    action: Action = "drop"
    """What happens to a listing above the threshold: it is left out; put behind all others, which counts only where
    nothing ranks anew afterwards; or the fields that are suspicious on their own are emptied, all but the name where
    none is."""
    fpr: float = Field(default=0.01, gt=0, lt=1)
    """False positive rate on honest listings. With fewer of them than (1 − fpr) / fpr nothing is ever flagged."""
    fields: tuple[str, ...] | None = None
    """Fields that are read; all of them when left out."""
    calibration: tuple[CatalogPlugin, ...] | None = None
    """Catalogs of honest listings; the training pages of `made_up` when left out."""
    most: int = Field(default=500, ge=1)
    """Items of one catalog that are honest listings; drawn by their ids where there are more."""
    own: bool = True
    """Whether the catalog's own listings belong to the honest ones. Not where it may have been tampered with."""

    @property
    def counts_tokens(self) -> bool:  # type: ignore[override]
        """Whether it may read with a model: where it is more than a `judge`."""
        return type(self).judge is Detector.judge or super().counts_tokens

    def judge(self, fields: Mapping[str, str]) -> float:
        """How suspicious a listing is by its fields, higher is more: all that a detector without a model needs."""
        raise NotImplementedError

    def reader(self, catalog: Catalog, env: Environment) -> Reader:
        """What scores listings: `judge`, unless a detector makes something else."""
        from defences.detectors.suspicion import Rule

        return Rule.of(self, self.judge)

    def abroad(self, reader: Reader) -> Reader:
        """What scores the listings of other catalogs in the calibration."""
        return reader

    def build(self, catalog: Catalog, env: Environment) -> Stage:
        """Calibrate, and make the stage or what stands around another one."""
        from defences.detectors.guard import guarded
        from defences.detectors.screen import ReadingScreen, Screen

        reader = self.reader(catalog, env)
        calibration, known = self.calibrated(reader, catalog, env)
        kind = ReadingScreen if getattr(reader, "reads_tokens", False) else Screen
        screen = kind(self, reader, calibration, known, catalog.name_field)
        return screen if self.over is None else guarded(self.over.build(catalog, env), screen)

    def calibrated(self, reader: Reader, catalog: Catalog, env: Environment) -> tuple[Calibration, Known]:
        """Thresholds from honest listings, and what the reader said of each; a warning where they are too few."""
        from defences.detectors.conformal import Calibration, Group
        from defences.detectors.honest import honest
        from defences.detectors.suspicion import scored, sound

        groups: dict[str, Group] = {}
        known: dict[Key, Suspicion] = {}
        for name, listings in self.sets(catalog):
            kept = [one for one in listings if name == OWN or not (self.fits and fitted(one))]
            read = [self.seen(one.fields) for one in kept]
            said = scored(reader if name == OWN else self.abroad(reader), read, env.cache)
            where = "" if name == OWN else " of a calibration catalog"
            sound(type(self).__name__, (one.score for one in said), (one.owner for one in kept), where)
            groups[name] = Group(tuple(one.owner for one in kept), tuple(one.score for one in said))
            known |= {tuple(fields.items()): one for fields, one in zip(read, said, strict=True)}
        if not self.own:  # read once all the same, though they calibrate nothing
            read = [self.seen(one.fields) for one in honest(catalog, OWN, self.most)]
            known |= {
                tuple(one.items()): said
                for one, said in zip(read, scored(reader, read, env.cache), strict=True)
            }
        found = Calibration(self.fpr, groups, OWN)
        if not found.enough:
            self._warn(max((len(group.scores) for group in groups.values()), default=0))
        return found, known

    def sets(self, catalog: Catalog) -> list[tuple[str, list[Honest]]]:
        """Honest listings by where they come from: the catalog itself, then calibration catalogs."""
        from defences.detectors.honest import honest, made_up

        others = (made_up(),) if self.calibration is None else self.calibration
        found = [(OWN, honest(catalog, OWN, self.most))] if self.own else []
        return found + [
            (str(place), honest(one.load(), str(place), self.most)) for place, one in enumerate(others)
        ]

    def seen(self, fields: Mapping[str, str]) -> dict[str, str]:
        """The fields that are read."""
        return {name: text for name, text in fields.items() if self.fields is None or name in self.fields}

    def _warn(self, count: int) -> None:
        from defences.detectors.conformal import needed

        warnings.warn(
            f"{type(self).__name__}: {count} honest listings are too few for a false positive rate of {self.fpr:g}, "
            f"which needs {needed(self.fpr)} of one catalog: nothing will be flagged; name a larger catalog in "
            "calibration, or raise fpr",
            stacklevel=4,
        )


def fitted(one: Honest) -> bool:
    """Whether a listing belongs to the half that a model is fitted on; the other half calibrates."""
    return one.group != OWN and derive("fit", one.owner) % 2 == 0
