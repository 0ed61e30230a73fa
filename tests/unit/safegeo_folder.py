"""A small made-up folder in the layout of SafeGEO."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars

HARD = [
    {"id": "H1", "attribute_key": "waterproof", "text": "waterproof fabric", "required_value": True},
    {"id": "H2", "attribute_key": "pockets", "text": "outer pockets", "required_value": 2},
]
SOFT = [{"id": "S1", "attribute_key": "comfort_score", "text": "carry comfort", "weight": 1.0}]
ROSTER = [(True, 2, 0.93), (False, 2, 0.2), (True, 1, 0.15), (True, 2, 0.88)]
"""Per candidate: waterproof, pockets, utility. The first and the last meet the constraints."""


def tables(requests: int = 2) -> dict[str, list[dict[str, Any]]]:
    """Rows of the three tables, per file, with columns that are not read as well."""
    found: dict[str, list[dict[str, Any]]] = {"targets": [], "requirements": [], "candidate_quality": []}
    for vertical in ("day_pack", "rain_coat"):
        for number in range(requests):
            query = f"{vertical}-{number}"
            split = "dev" if number else "train"
            found["targets"].append(
                {"query_id": query, "split": split, "vertical": vertical, "user_query": f"Which {vertical}?"}
                | {"fixed_geo_targets": "[]"}
            )
            found["requirements"].append(
                {"query_id": query, "vertical": vertical}
                | {"hard_constraints": json.dumps(HARD), "soft_preferences": json.dumps(SOFT)}
            )
            for place, (dry, pockets, utility) in enumerate(ROSTER):
                facts = {"waterproof": dry, "pockets": pockets, "comfort_score": 50 + place}
                facts |= {"price": 1200 + place, "weight_g": 900}
                found["candidate_quality"].append(
                    {"query_id": query, "vertical": vertical, "item_id": f"{query}_ITEM{place}"}
                    | {"name": f"Pack {place}", "canonical_attributes": json.dumps(facts)}
                    | {"hard_constraint_feasible": dry and pockets == 2, "verified_utility_score": utility}
                )
    return found


def write(folder: Path, made: dict[str, list[dict[str, Any]]] | None = None) -> Path:
    """Write the tables; the folder."""
    for name, rows in (made or tables()).items():
        polars.DataFrame(rows, strict=False).write_parquet(folder / f"{name}.parquet")
    return folder
