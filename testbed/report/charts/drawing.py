"""A drawing surface in units of one CSS pixel at phone width, and its way into the page as clean SVG."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from testbed.report.charts.colours import STAND_IN, VARIABLE
from testbed.report.text import plain

WIDTH = 360
SVG = "{http://www.w3.org/2000/svg}"
ELEMENTS = {"svg", "g", "path", "defs", "clipPath", "rect", "use", "text", "tspan", "title"}
ATTRIBUTES = {"d", "style", "transform", "x", "y", "width", "height", "id", "clip-path", "viewBox", "href"}
SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.usetex": False,
    "font.size": 10.5,
    "axes.unicode_minus": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": STAND_IN["line"],
    "axes.labelcolor": STAND_IN["soft"],
    "axes.labelsize": 10,
    "axes.facecolor": "none",
    "axes.linewidth": 1.0,
    "figure.facecolor": "none",
    "text.color": STAND_IN["ink"],
    "xtick.color": STAND_IN["line"],
    "ytick.color": STAND_IN["line"],
    "xtick.labelcolor": STAND_IN["soft"],
    "ytick.labelcolor": STAND_IN["soft"],
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": STAND_IN["line"],
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


@contextmanager
def settings(salt: str) -> Iterator[None]:
    """Matplotlib as the report needs it, whatever the reader's own matplotlibrc says; undone at the end."""
    import matplotlib

    kept = ("backend", "backend_fallback", "toolbar", "interactive", "timezone")
    defaults = {key: value for key, value in matplotlib.rcParamsDefault.items() if key not in kept}
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.simplefilter("ignore", matplotlib.MatplotlibDeprecationWarning)
        matplotlib.rcParams.update({**defaults, **SETTINGS, "svg.hashsalt": salt})
        yield


def surface(
    height: float,
    *,
    left: float = 0,
    right: float = 0,
    top: float = 0,
    bottom: float = 0,
    width: float = WIDTH,
) -> tuple[Any, Any]:
    """(figure, axes) of `width` × `height` units with margins around the axes; 1 unit = 1 point."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72))
    box = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    return figure, figure.add_axes(box)


def to_svg(figure: Any, label: str, salt: str) -> Markup:
    """The figure as inline SVG with a label for screen readers; no date, no font names, no foreign elements."""
    stream = io.StringIO()
    figure.savefig(
        stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    root = ElementTree.fromstring(stream.getvalue())
    width = root.get("viewBox", "0 0 360 0").split()[2]
    root.tag = "svg"
    _clean(root)
    _names(root, salt)
    for name in list(root.attrib):
        if name != "viewBox":
            del root.attrib[name]
    root.set("role", "img")
    root.set("aria-label", plain(label, 300))
    root.set("style", f"max-width: {float(width) * 1.35:.0f}px")
    text = ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)
    return Markup(re.sub(r">\s+<", "><", text))


def _clean(parent: Any) -> None:
    """Keep known elements and attributes only; stand-in colours become CSS variables."""
    for child in list(parent):
        kind = child.tag.removeprefix(SVG)
        if kind not in ELEMENTS:
            parent.remove(child)
            continue
        child.tag = kind
        for name, value in list(child.attrib.items()):
            bare = name.rpartition("}")[2]
            del child.attrib[name]
            if bare in ATTRIBUTES and not (bare == "href" and not value.startswith("#")):
                child.set(bare, _style(value) if bare == "style" else _rounded(value, bare))
        if child.text is not None and kind not in ("text", "tspan", "title"):
            child.text = None
        child.tail = None
        _clean(child)


def _style(value: str) -> str:
    value = re.sub(r"font-family:[^;]*(;|$)", "", value)
    value = re.sub(r"#0101[0-9a-f]{2}", lambda found: VARIABLE.get(found[0], "currentColor"), value)
    return value.replace(": ", ":").replace("; ", ";").strip("; ")


def _rounded(value: str, name: str) -> str:
    """Coordinates to a hundredth of a unit; text about turning by nothing goes."""
    if name in ("id", "href", "clip-path", "viewBox"):
        return value
    if name == "transform" and value.startswith("rotate(-0 "):
        return ""
    value = re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), value)
    return re.sub(r"\s+", " ", value).strip()


def _names(root: Any, salt: str) -> None:
    """Drop ids that nothing refers to and make the others unique in the page."""
    used = {child.get("href", "").removeprefix("#") for child in root.iter()}
    used |= {child.get("clip-path", "").removeprefix("url(#").removesuffix(")") for child in root.iter()}
    for child in root.iter():
        name = child.get("id")
        if name is not None:
            if name in used:
                child.set("id", f"{salt}-{name}")
            else:
                del child.attrib["id"]
        if child.get("href"):
            child.set("href", "#" + salt + "-" + child.get("href").removeprefix("#"))
        if child.get("clip-path"):
            child.set("clip-path", child.get("clip-path").replace("url(#", f"url(#{salt}-"))
        if child.get("transform") == "":
            del child.attrib["transform"]
