"""The figures as Markdown, and into a page of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from victims.table import cell

from retrieval.rows import BM25_ROW, PLAIN_ROW
from retrieval.scores import Values, difference, interval
from testbed.errors import UserError
from testbed.statistics import Interval, holm

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEAD = "| | nDCG@10 | R@10 | R@100 | reached | − BM25 | p | − no model | p |"


def markdown(found: Sequence[Values], total: int) -> str:
    """A table of the rows that have all queries, and one of all rows over the queries that all of them have."""
    found = [one for one in found if one.known.any()]
    if not found:
        return "nothing is measured yet"
    whole = [one for one in found if one.known.all()]
    tables = [found] if len(whole) in (0, len(found)) else [whole, found]
    return "\n\n".join(_table(some, total) for some in tables)


def _table(found: Sequence[Values], total: int) -> str:
    common = np.logical_and.reduce([one.known for one in found])
    by_name = {one.row.name: one.of["nDCG@10"][common] for one in found}
    tests = {
        (one.row.name, other): difference(by_name[one.row.name], by_name[other])
        for one in found
        for other in (BM25_ROW, PLAIN_ROW)
        if other in by_name and other != one.row.name
    }
    done = {pair: test for pair, test in tests.items() if test}
    adjusted = dict(zip(done, holm([p for _, p in done.values()]), strict=True))
    lines = [
        f"{int(common.sum())} of {total} queries; p by sign flips of queries, corrected by Holm.",
        "",
        HEAD,
    ]
    lines.append("|---|" + "---|" * (HEAD.count("|") - 2))
    for one in found:
        cells = [cell(interval(one.of[name][common])) for name in ("nDCG@10",)]
        cells += [_short(one.of[name][common]) for name in ("R@10", "R@100", "reached")]
        for other in (BM25_ROW, PLAIN_ROW):
            pair = (one.row.name, other)
            cells += [_signed(done[pair][0]), _p(adjusted[pair])] if pair in done else ["", ""]
        lines.append(f"| {one.row.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(page: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Put a text between the marks of a page; UserError where there are none."""
    before, found, rest = page.read_text("utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UserError(f"{page}: has no {begin} … {end} to write between")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", "utf-8")


def _short(values: np.ndarray) -> str:
    known = values[~np.isnan(values)]
    return f"{known.mean():.3f}" if len(known) else "–"


def _signed(found: Interval) -> str:
    if found.estimate is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{found.estimate:+.3f}"
    return f"{found.estimate:+.3f} [{found.low:+.2f}, {found.high:+.2f}]"


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}"
