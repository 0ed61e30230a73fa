"""constraints.txt pins whatever this repository asks for, at a version that is asked for."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def asked() -> list[Requirement]:
    """What the package and its extras ask for, as pyproject.toml says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    return [
        Requirement(line) for line in [*project["dependencies"], *(one for extra in extras for one in extra)]
    ]


def pinned() -> dict[str, str]:
    """Canonical name → version."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(len(pin.specifier) == 1 and str(pin.specifier).startswith("==") for pin in pins)
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


def test_everything_that_is_asked_for_is_pinned() -> None:
    pins = pinned()
    assert [one.name for one in asked() if canonicalize_name(one.name) not in pins] == []


def test_pins_are_versions_that_are_asked_for() -> None:
    pins = pinned()
    assert [str(one) for one in asked() if pins[canonicalize_name(one.name)] not in one.specifier] == []
