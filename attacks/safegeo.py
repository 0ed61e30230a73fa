"""SafeGEO's static packages, replayed: what its authors put into search results to promote a product (2026)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from testbed.errors import UserError, hinted, shown
from testbed.protocols import Access, AttackPlugin, CatalogPath, Step, Victim
from testbed.types import Target

if TYPE_CHECKING:
    import numpy as np

CLEAN = "original_no_geo_control"


class SafeGeoPackage(AttackPlugin):
    """Write the source text that SafeGEO's authors planted for a product under one of 22 packages.

    Data: QianfengWen/SafeGEO (CC BY 4.0), read from its folder; nothing of it is part of this project. A package is the
    page that is in the attacked packet and not in the clean one and whose title names the product last
    (`2026 Buyer Guide: NAME`), and of its lines those that the clean packet does not have: ten, about 175 words. There
    is one for three candidates of each request of two verticals. Nothing is searched, and nothing asked.
    """

    access: ClassVar[Access] = Access.none

    path: CatalogPath
    """The folder, with `labels_*.parquet` and `visible_*.parquet`."""
    package: str = "full_stack_realistic_geo"
    """Which of the packages, by the name in the folder."""

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        target = targets[0]
        yield Step(target.edit(package_text(self.path, self.package, target.item_id)))


def package_text(folder: Path, package: str, item: str) -> str:
    """What a package says for an item. UserError where the folder has no such package, or none for this item."""
    found = _instances(folder)
    names = sorted({name for name, _ in found})
    if package not in names:
        raise UserError(hinted(f"{folder}: there is no package {shown(package)}", package, names))
    if (package, item) not in found:
        raise UserError(
            f"{folder}: there is no text for {shown(item)} under {package!r}; three candidates of a request have one"
        )
    vertical, instance, name = found[package, item]
    import polars

    table = polars.scan_parquet(folder / f"visible_{vertical}.parquet")
    ((query, attacked),) = (
        table.filter(polars.col("instance_id") == instance)
        .select("query_id", "search_results")
        .collect()
        .rows()
    )
    clean = _clean(folder, vertical)[query]
    planted = [
        [line["text"] for line in page["opened_text"] if line["text"] not in clean]
        for page in json.loads(attacked)
        if page["title"].endswith(f": {name}") and page["title"] not in clean
    ]
    return " ".join(line for page in planted for line in page)


def packages(folder: Path) -> dict[tuple[str, str], str]:
    """(package, item) → vertical, for every text there is."""
    return {key: vertical for key, (vertical, _, _) in _instances(folder).items()}


@lru_cache(maxsize=4)
def _instances(folder: Path) -> dict[tuple[str, str], tuple[str, str, str]]:
    """(package, item) → vertical, instance, name of the item. UserError for a folder that has none."""
    import polars

    found = {}
    columns = ["instance_id", "package_id", "attacked_candidate_id", "fixed_geo_targets", "vertical"]
    try:
        for file in sorted(folder.glob("labels_*.parquet")):
            for row in polars.read_parquet(file, columns=columns).iter_rows(named=True):
                item = row["attacked_candidate_id"]
                if item is not None:
                    names = {
                        one["candidate_id"]: one["candidate_name"]
                        for one in json.loads(row["fixed_geo_targets"])
                    }
                    found[row["package_id"], item] = row["vertical"], row["instance_id"], names[item]
    except (OSError, ValueError, KeyError, TypeError, polars.exceptions.PolarsError) as error:
        raise UserError(f"{folder}: not a SafeGEO folder: {str(error).splitlines()[0]}") from None
    if not found:
        raise UserError(f"{folder}: there is no labels_*.parquet with an attacked candidate")
    return found


@lru_cache(maxsize=4)
def _clean(folder: Path, vertical: str) -> dict[str, frozenset[str]]:
    """Request → titles and lines of its clean packet."""
    import polars

    labels = polars.scan_parquet(folder / f"labels_{vertical}.parquet")
    clean = labels.filter(polars.col("package_id") == CLEAN).select("instance_id")
    table = polars.scan_parquet(folder / f"visible_{vertical}.parquet").join(
        clean, on="instance_id", how="semi"
    )
    found = {}
    for query, text in table.select("query_id", "search_results").collect().rows():
        pages = json.loads(text)
        lines = {line["text"] for page in pages for line in page["opened_text"]}
        found[query] = frozenset(lines | {page["title"] for page in pages})
    return found
