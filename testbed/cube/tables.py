"""The tables of a cube: effects of every cell, what defences take from them, and what cells say together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from testbed.compare import compare
from testbed.errors import UserError, did_you_mean, listed
from testbed.measures import parse
from testbed.statistics import holm
from testbed.store import MANIFEST, TABLES
from testbed.tables.files import read_manifest, tables_of
from testbed.tables.holm import DEFAULT_PRIMARY
from testbed.tables.row import plain
from testbed.tables.run import ALL, ATTACK, CLEAN
from testbed.tables.search import survival_curve
from testbed.tables.transfer import SECTION

QUALITY = "nDCG@10"
FIELDS = ("estimate", "low", "high", "n", "blocks", "over", "p", "p_min", "method")
Place = Mapping[str, str]


def cube_tables(
    path: Path, cube: Mapping[str, Any], measures: Sequence[str] = (), *, everything: bool = False
) -> dict[str, Any]:
    """The content of a cube's tables.json (docs/schemas.md). Cells that have not finished are named and left out.

    `measures`: effects to tell in the place of the cells' primary one, of which the first is followed further;
    `everything`: all that the cells have. UserError for one that no cell has.
    """
    cells = [
        (cell["place"], path / cell["run"], _tables(path / cell["run"]))
        for cell in cube["cells"]
        if _state(path / cell["run"]) == "finished"
    ]
    searched = {run.relative_to(path).as_posix(): _searches(one) for _, run, one in cells}
    main = next((str(one["verdict"]["measure"]) for _, _, one in cells), DEFAULT_PRIMARY)
    known = _known(cells)
    asked = [_asked(name, known, len(cells)) for name in measures]
    told = tuple(dict.fromkeys([*asked, *([main, *known] if everything else () if asked else (main,))]))
    measure = told[0]
    tables = {
        "schema": 1,
        "cube": {key: cube[key] for key in ("name", "hash", "axes", "unit")},
        "measure": measure,
        "measures": list(told),
        "cells": [
            {
                "place": cell["place"],
                "run": cell["run"],
                "state": _state(path / cell["run"]),
                **searched.get(cell["run"], {"searches": None, "failed": None}),
            }
            for cell in cube["cells"]
        ],
        "effects": list(_corrected(list(_effects(cells, told)), told)),
        "curves": list(_curves(cube, cells, measure)),
        "defences": list(_defences(cube, cells, measure)),
        "transfer": list(_transfer(cells, measure)),
        "time_to_first": list(_times(cube, cells)),
        "quality": list(_quality(cube, cells, measure)),
    }
    return dict(plain(tables))


Cells = Sequence[tuple[Place, Path, Mapping[str, Any]]]


def _known(cells: Cells) -> list[str]:
    """Measures with an effect of the attack in some cell, in the cells' order."""
    return list(
        dict.fromkeys(
            row["measure"]
            for _, _, tables in cells
            for row in tables["rows"]
            if (row["arm"], row["against"], row["section"] == SECTION) == (ATTACK, CLEAN, False)
        )
    )


def _searches(tables: Mapping[str, Any]) -> dict[str, int]:
    """How many searches a cell made, and how many of them failed: their seeds are in no estimate."""
    statuses = [one["status"] for one in tables["examples"]]
    return {"searches": len(statuses), "failed": statuses.count("error")}


def _asked(name: str, known: Sequence[str], finished: int) -> str:
    """The measure by its full name; UserError where no cell has an effect by it."""
    measure = parse(name).name
    if measure in known:
        return measure
    if not finished:
        raise UserError(f"{measure}: no cell of the cube is finished")
    hint = did_you_mean(measure.replace("top@", "lift@"), known)
    there = f"there are {listed(known, 40)}; name others under `measures` in the cube's file"
    raise UserError("; ".join(filter(None, (f"no cell has an effect by {measure}", hint, there))))


def _effects(cells: Cells, measures: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Attack against clean and against each control, harm and exposure taken, and controls against clean."""
    sides = [name for name in ("harm", "exposure_taken", "utility_loss") if name not in measures]
    for place, _, tables in cells:
        controls = [arm for arm in tables["run"]["arms"] if arm not in (CLEAN, "clean_again", ATTACK)]
        pairs = [(ATTACK, CLEAN), *((ATTACK, control) for control in controls)]
        pairs += [(control, CLEAN) for control in controls]
        wanted = [(name, *pair) for name in measures for pair in pairs]
        wanted += [(name, ATTACK, CLEAN) for name in sides]
        for name, arm, against in wanted:
            row = _row(tables, name, arm, against)
            if row is not None:
                found = {key: row.get(key) for key in FIELDS}
                yield {
                    "place": place,
                    "measure": name,
                    "arm": arm,
                    "against": against,
                    **found,
                    "p_holm": None,
                }


def _corrected(rows: list[dict[str, Any]], measures: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Holm over all cells: per measure a family for the attack against clean, and one for it against each control."""
    families: dict[tuple[str, str], list[int]] = {}
    for index, row in enumerate(rows):
        if row["arm"] == ATTACK and row["p"] is not None and row["measure"] in measures:
            families.setdefault((row["measure"], row["against"]), []).append(index)
    for family in families.values():
        for index, p in zip(family, holm([rows[index]["p"] for index in family]), strict=True):
            rows[index]["p_holm"] = p
    yield from rows


def _curves(cube: Mapping[str, Any], cells: Cells, measure: str) -> Iterator[dict[str, Any]]:
    """Effect by budget, a curve for every other place; only where the cube has budgets."""
    curves: dict[tuple[tuple[str, str], ...], list[dict[str, Any]]] = {}
    for place, _, tables in cells if "budget" in cube["axes"] else ():
        row = _row(tables, measure, ATTACK, CLEAN)
        if row is not None:
            rest = tuple((axis, level) for axis, level in place.items() if axis != "budget")
            point = {
                "budget": float(place["budget"]),
                **{key: row[key] for key in ("estimate", "low", "high")},
            }
            curves.setdefault(rest, []).append(point)
    for rest, points in curves.items():
        yield {"place": dict(rest), "points": sorted(points, key=lambda point: point["budget"])}


def _defences(cube: Mapping[str, Any], cells: Cells, measure: str) -> Iterator[dict[str, Any]]:
    """Per defence what it takes from the lift and what it costs clean rankings, against the first level of its axis.

    Paired by situation; the texts are those that were searched through each of the two.
    """
    levels = cube["axes"].get("defence", [])
    runs = {tuple(place.items()): (path, tables) for place, path, tables in cells}
    for place, path, tables in cells:
        if place.get("defence") in (None, levels[0]):
            continue
        base = runs.get(tuple({**place, "defence": levels[0]}.items()))
        if base is None:
            continue
        about = {"place": place, "against": levels[0]}
        try:
            found = compare([base[0], path], measures=[measure, QUALITY])
        except UserError as fault:
            yield {**about, "measure": measure, "arm": ATTACK, "note": str(fault)}
            continue
        failed = _searches(base[1])["failed"] or _searches(tables)["failed"]
        for name, arm, against in ((measure, ATTACK, CLEAN), (QUALITY, CLEAN, None)):
            wanted = (name, arm, against, ALL)
            rows = [
                row
                for row in found["rows"]
                if (row["measure"], row["arm"], row["against"], row["target"]) == wanted
            ]
            lost = failed and arm == ATTACK
            for row in rows:
                kept = {key: row[key] for key in (*FIELDS, "base_value", "run_value")}
                note = f"over the searches that both have ({row['blocks']})" if lost else ""
                yield {**about, "measure": name, "arm": arm, **kept, "note": note}
            if lost and not rows:
                yield {**about, "measure": name, "arm": arm, "note": "no search that both have"}


def _transfer(cells: Cells, measure: str) -> Iterator[dict[str, Any]]:
    """What the texts of a cell do to the stacks of other levels, from the cells' own transfer tables."""
    for place, _, tables in cells:
        for row in tables["rows"]:
            told = (row["section"], row["measure"], row["target"], row["against"])
            if told == (SECTION, measure, ALL, CLEAN):
                kept = {key: row.get(key) for key in FIELDS}
                yield {"place": place, "victim": row["victim"], "measure": measure, **kept}


def _times(cube: Mapping[str, Any], cells: Cells) -> Iterator[dict[str, Any]]:
    """Per attack the share of searches that are not yet at rank 1, by step (Kaplan & Meier), at the largest budget."""
    attacks: dict[str, list[dict[str, Any]]] = {}
    for place, _, tables in cells:
        if place.get("budget") in (None, cube["axes"].get("budget", [None])[-1]):
            attacks.setdefault(place.get("attack", ATTACK), []).extend(tables["time_to_first"]["attacks"])
    for attack, times in attacks.items():
        if times:
            settled = sum(bool(one["settled"]) for one in times)
            last = max(float(one["step"]) for one in times)
            curve = survival_curve(times)
            yield {"attack": attack, "searches": len(times), "settled": settled, "last": last, "curve": curve}


def _quality(cube: Mapping[str, Any], cells: Cells, measure: str) -> Iterator[dict[str, Any]]:
    """Per stack and defence its clean quality and the largest effect of any attack at the largest budget."""
    groups: dict[tuple[str, str], list[tuple[Place, Mapping[str, Any]]]] = {}
    for place, _, tables in cells:
        if place.get("budget") in (None, cube["axes"].get("budget", [None])[-1]):
            groups.setdefault((place.get("stack", ""), place.get("defence", "")), []).append((place, tables))
    for (stack, defence), members in groups.items():
        clean = next((row for _, one in members if (row := _row(one, QUALITY, CLEAN, None))), None)
        rows = [(place, row) for place, one in members if (row := _row(one, measure, ATTACK, CLEAN))]
        if rows:
            place, worst = max(rows, key=lambda pair: float(pair[1]["estimate"]))
            yield {
                "stack": stack,
                "defence": defence,
                "quality": {key: clean[key] for key in ("estimate", "low", "high", "method")}
                if clean
                else None,
                "worst": {key: worst[key] for key in ("estimate", "low", "high")},
                "attack": place.get("attack", ATTACK),
            }


def _row(tables: Mapping[str, Any], measure: str, arm: str, against: str | None) -> Mapping[str, Any] | None:
    wanted = (measure, arm, against, ALL, "mean")
    for row in tables["rows"]:
        told = (row["measure"], row["arm"], row["against"], row["target"], row["selection"])
        if told == wanted and row["section"] != SECTION and row["estimate"] is not None:
            return dict(row)
    return None


def _state(run: Path) -> str:
    return str(read_manifest(run).get("state")) if (run / MANIFEST).is_file() else "not begun"


def _tables(run: Path) -> Mapping[str, Any]:
    """tables.json of a cell; built where it is not there."""
    try:
        found = json.loads((run / TABLES).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else tables_of(run)
    except (OSError, ValueError):
        return tables_of(run)
