"""Names of ranks stand apart under the grid of rank shifts."""

from __future__ import annotations

import re

import pytest

from testbed.report.charts.shift import shift

RANGES = (*map(str, range(1, 11)), "11-20", "21-50", "51+", "unlisted")
RANKS = (*map(str, range(1, 13)), "unlisted")
SIZE, WIDE = 9.5, 0.6
TEXT = re.compile(
    rf'font-size:{SIZE}px[^>]*?(?:x="([\d.]+)" y="[\d.]+"|translate\(([\d.]+) [\d.]+\)([^"]*)")>([^<]+)<'
)


@pytest.mark.parametrize("levels", [RANGES, RANKS])
def test_columns_have_names_that_do_not_run_into_each_other(levels: tuple[str, ...]) -> None:
    counts = [[1] * len(levels) for _ in levels]
    found = TEXT.findall(shift("Grand", counts, levels, arm="attack", salt="x"))
    names = [(float(x or moved), name, "rotate(-90)" in how) for x, moved, how, name in found][: len(levels)]
    assert [name for _, name, _ in names] == [*(one.replace("-", "–") for one in levels[:-1]), "none"]
    half = [SIZE / 2 if turned else SIZE * WIDE * len(name) / 2 for _, name, turned in names]
    for place in range(1, len(names)):
        gap = names[place][0] - names[place - 1][0]
        assert gap > half[place] + half[place - 1], names[place - 1 : place + 1]
