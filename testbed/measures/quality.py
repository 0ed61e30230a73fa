"""Ranking quality against the judgements, computed by ir-measures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from testbed.measures.base import Level, Seen, Values

UNBOUNDED = frozenset({"NumQ", "NumRel", "NumRet", "NumRelRet", "SDCG", "INST", "INSQ", "BPM"})


def quality(name: str) -> Level:
    """A measure of ir-measures by its name: nDCG@10, RR, AP, P@5, R@10, Success@1, …

    Gains and discounts are those of ir-measures (nDCG: linear gain, log2 discount, as in trec_eval;
    MacAvaney, Macdonald & Ounis 2022, ECIR). ValueError with the reason when ir-measures cannot compute it.
    """
    measure = _parsed(name)
    bounds = None if measure.NAME in UNBOUNDED else (0.0, 1.0)

    def values(seen: Sequence[Seen]) -> Values:
        return evaluate(measure, seen)

    event = measure.NAME == "Success" or (measure.NAME == "P" and measure.params.get("cutoff") == 1)
    return Level(str(measure), "quality", bounds, event, values)


def evaluate(measure: Any, seen: Sequence[Seen]) -> Values:
    """(n,) values. Undefined for requests without a relevant item; empty rankings get the measure's default.

    Unlisted items are absent from the run; scores handed over fall with the rank, so ties cannot arise.
    """
    import numpy as np

    found = np.full(len(seen), np.nan)
    judged = {
        str(row): dict(one.relevance)
        for row, one in enumerate(seen)
        if one.relevance is not None and any(grade > 0 for grade in one.relevance.values())
    }
    if not judged:
        return found
    run = {
        row: {item: float(len(ranking) - position) for position, item in enumerate(ranking)}
        for row in judged
        if (ranking := seen[int(row)].ranking)
    }
    for metric in _provider().iter_calc([measure], judged, run):
        found[int(metric.query_id)] = metric.value
    return found


def _parsed(name: str) -> Any:
    import ir_measures

    head, at, written = name.rpartition("@")
    if at and ")" not in written and not re.fullmatch(r"[1-9]\d{0,8}", written.strip(), re.ASCII):
        raise ValueError(f"a cutoff is a whole number from 1; did you mean {f'{head}@10'!r}?")
    try:
        measure = ir_measures.parse_measure(name)
        cutoff = measure.params.get("cutoff")
        needed = measure.SUPPORTED_PARAMS.get("cutoff")
        if cutoff is None and needed is not None and needed.required:
            raise ValueError(f"it takes a cutoff; did you mean {f'{name}@10'!r}?")
        measure.validate_params()
    except ValueError as error:
        if "problem parsing" in str(error):  # followed by what Python's parser says
            raise ValueError("it is written NAME, NAME@10 or NAME(parameter=value)@10") from None
        raise
    except (NameError, AssertionError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(str(error)) from None
    if cutoff is not None and cutoff < 1:  # written as a parameter
        raise ValueError("a cutoff is a whole number from 1")
    if not any(provider.supports(measure) for provider in _provider().providers):
        raise ValueError("ir-measures has no installed provider for it")
    return measure


@cache
def _provider() -> Any:
    """The providers that compute in this process; others start external programs on temporary files."""
    import ir_measures

    return ir_measures.providers.FallbackProvider(
        [ir_measures.pytrec_eval, ir_measures.judged, ir_measures.compat, ir_measures.msmarco]
    )
