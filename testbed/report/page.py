"""What a page is made of. Strings are escaped by the template; only Markup goes in as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

Cell = str | Markup


@dataclass(frozen=True)
class Figure:
    """A chart with its caption."""

    svg: Markup
    caption: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first `words` columns hold text, the others numbers. `folded` puts it behind a heading."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    title: str = "Numbers"
    note: str = ""
    words: int = 1
    folded: bool = True


@dataclass(frozen=True)
class Swatch:
    """An entry of a legend: CSS variable of the colour and its opacity."""

    label: str
    role: str = "accent"
    opacity: float = 1.0
    box: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page. `missing` is the sentence that stands in its place when there is nothing to show."""

    id: str
    title: str
    lead: str = ""
    legend: Sequence[Swatch] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    missing: str = ""
