"""A victim as a search sees it that must not be detected: what is detected has lost."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np

from attacks.losses import mean_loss, mean_rank_loss
from testbed.protocols import Access, Continuation, Sampling, Victim
from testbed.types import Intervention, Situation, text_edits
from testbed.victim.slope import BEST, WORST

FREE = 200
"""Calls in a row that ask for detected texts only, after which a search is stuck: it would never spend its budget."""
READ = 5_000
"""Listings, at most, whose words are known."""


class Stuck(Exception):
    """A search finds nothing but texts that are detected."""


class Hidden:
    """Answers like the victim behind it, but for detected texts: those found here are not sent, and both lose.

    A dropped target counts `WORST` in place of inf, so that a search goes on. `written`: mean negative log-likelihood
    of the tokens that the model wrote in each text that it went on with, nats per token.
    """

    def __init__(self, victim: Victim, access: Access, odd_words: float | None, nll: float | None) -> None:
        self._victim, self._access, self._odd, self._nll = victim, access, odd_words, nll
        self._known = known_words(victim) if odd_words is not None else frozenset()
        self._sums: dict[str, tuple[float, int]] = {}
        self._passes: dict[Intervention, dict[Situation, bool]] = {}
        self._free = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._victim, name)

    @property
    def written(self) -> dict[str, float]:
        """Text → mean negative log-likelihood of what the model wrote of it."""
        return {text: -total / count for text, (total, count) in self._sums.items()}

    def clean(self) -> float | None:
        """The loss of the clean listing; None where nothing can be asked. Notes in which situations it gets through."""
        if self._access == Access.none:
            return None
        if self._access >= Access.scores:
            losses = self._victim.objective([()])
            self._note([()], losses, self._victim.situations)
            return float(mean_loss(losses)[0])
        ranks = self._victim.ranks([()])
        self._note([()], _as_losses(ranks), self._victim.situations)
        return mean_rank_loss(ranks[0])

    def detected(self, intervention: Intervention) -> bool:
        """Whether a text is detected here or by the stack, which is asked where it has not been."""
        if self.suspicion(intervention) > 0:
            return True
        if self._access == Access.none:
            return False
        places = [
            place for place in self._victim.situations if place not in self._passes.get(intervention, {})
        ]
        if places and self._access >= Access.scores:
            self._note([intervention], self._victim.objective([intervention], places), places)
        elif places:
            self._note([intervention], _as_losses(self._victim.ranks([intervention], places)), places)
        passed, clean = self._passes[intervention], self._passes.get((), {})
        return any(clean.get(place, True) and not passed[place] for place in self._victim.situations)

    def suspicion(self, intervention: Intervention) -> float:
        """0 for what passes the detectors named here, up to 1 for what is furthest from it."""
        found = 0.0
        for edit in text_edits(intervention):
            if self._odd is not None:
                found = max(found, (odd_share(edit.text, self._known) - self._odd) / (1 - self._odd))
            if self._nll is not None and edit.text in self._sums:
                total, count = self._sums[edit.text]
                found = max(found, 1 - self._nll / max(self._nll, -total / count))
        return found

    def objective(
        self, interventions: Sequence[Intervention], situations: Sequence[Situation] | None = None
    ) -> np.ndarray:
        """As the victim's; what is detected is at least 500."""
        return self._losses(interventions, situations, self._victim.objective)

    def screen(
        self,
        interventions: Sequence[Intervention],
        base: Intervention,
        situations: Sequence[Situation] | None = None,
        *,
        recompute: int | None = 8,
    ) -> np.ndarray:
        """As the victim's; what is detected is at least 500."""
        return self._losses(
            interventions,
            situations,
            lambda some, places: self._victim.screen(some, base, places, recompute=recompute),
        )

    def ranks(
        self, interventions: Sequence[Intervention], situations: Sequence[Situation] | None = None
    ) -> list[list[int | None]]:
        """As the victim's; None for what is detected here."""
        places = self._victim.situations if situations is None else situations
        some = self._sent(interventions)
        found = iter(self._victim.ranks(some, situations) if some else [])
        rows: list[list[int | None]] = [
            next(found) if one in some else [None for _ in places] for one in interventions
        ]
        self._note(interventions, _as_losses(rows), places)
        return rows

    def continuations(
        self,
        interventions: Sequence[Intervention],
        count: int,
        seed: int,
        *,
        situation: Situation | None = None,
        sampling: Sampling | None = None,
    ) -> list[list[Continuation]]:
        """As the victim's, without those that are too unlikely by then or whose whole words are too odd."""
        found = self._victim.continuations(interventions, count, seed, situation=situation, sampling=sampling)
        rows = []
        for intervention, row in zip(interventions, found, strict=True):
            base = "".join(edit.text for edit in text_edits(intervention))
            total, length = self._sums.get(base, (0.0, 0))
            kept = []
            for one in row:
                self._sums[one.text] = total + one.log_prob, length + 1
                likely = self._nll is None or -self._sums[one.text][0] / (length + 1) <= self._nll
                whole = one.text.rsplit(" ", 1)[0] if " " in one.text else ""
                if likely and (self._odd is None or odd_share(whole, self._known) <= self._odd):
                    kept.append(one)
            rows.append(kept)
        return rows

    def _losses(
        self,
        interventions: Sequence[Intervention],
        situations: Sequence[Situation] | None,
        ask: Callable[[Sequence[Intervention], Sequence[Situation] | None], np.ndarray],
    ) -> np.ndarray:
        places = self._victim.situations if situations is None else situations
        some = self._sent(interventions)
        found = iter(ask(some, situations) if some else [])
        losses = np.empty((len(interventions), len(places)))
        for row, one in enumerate(interventions):
            doubt = self.suspicion(one)
            losses[row] = next(found) if doubt == 0 else BEST + (WORST - BEST) * (1 + doubt) / 2
        self._note(interventions, losses, places)
        return np.where(np.isfinite(losses), losses, WORST)

    def _sent(self, interventions: Sequence[Intervention]) -> list[Intervention]:
        """Those that pass the detectors named here. `Stuck` when none has for long."""
        some = [one for one in interventions if self.suspicion(one) == 0]
        self._free = 0 if some or not interventions else self._free + 1
        if self._free > FREE:
            raise Stuck
        return some

    def _note(
        self, interventions: Sequence[Intervention], losses: np.ndarray, places: Sequence[Situation]
    ) -> None:
        for one, row in zip(interventions, losses, strict=True):
            passed = self._passes.setdefault(one, {})
            passed.update({place: bool(loss < BEST) for place, loss in zip(places, row, strict=True)})


def known_words(victim: Victim) -> frozenset[str]:
    """The words of listings and requests, as `bare` has them."""
    texts = [text for item in islice(victim.items, READ) for text in victim.listing(item).values()]
    texts += [victim.request(place).text for place in victim.situations]
    return frozenset(bare(word) for text in texts for word in text.split())


def odd_share(text: str, known: frozenset[str]) -> float:
    """Share of words that are neither known nor numbers; 0 for a text without any."""
    words = [bare(word) for word in text.split()]
    odd = sum(not word or not (word in known or re.fullmatch(r"[\d.,%$€£]+", word)) for word in words)
    return odd / len(words) if words else 0.0


def bare(word: str) -> str:
    """A word in lower case without the punctuation around it."""
    return word.strip(string.punctuation).lower()


def _as_losses(ranks: Sequence[Sequence[int | None]]) -> np.ndarray:
    """0 where there is a rank, inf where there is none."""
    return np.array([[np.inf if rank is None else 0.0 for rank in row] for row in ranks])
