"""Plug-ins by kind and name, found through entry points and imported only when asked for.

Our own plug-ins come in by the same door as third-party ones; `testbed.protocols` says what they implement.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from testbed.errors import PluginError, UnknownNameError, hinted, listed, shown
from testbed.protocols import (
    AttackPlugin,
    CatalogPlugin,
    ObjectivePlugin,
    ObserverPlugin,
    Plugin,
    StagePlugin,
    TrainerPlugin,
)

KINDS: Mapping[str, type[Plugin]] = {
    "stages": StagePlugin,
    "attacks": AttackPlugin,
    "objectives": ObjectivePlugin,
    "catalogs": CatalogPlugin,
    "trainers": TrainerPlugin,
    "observers": ObserverPlugin,
}
"""Kind → base class of its plug-ins. The entry-point group of a kind is `testbed.<kind>`."""

OWN_DISTRIBUTION = "ranking-testbed"


@dataclass(frozen=True, slots=True)
class Entry:
    """One announced plug-in. `value` reads `module:Class`; `loaded` is set for classes given in memory."""

    kind: str
    name: str
    value: str
    distribution: str
    loaded: type[Plugin] | None = None


class Registry:
    """Plug-ins by kind and name. Immutable; `extended` makes a new one with classes of your own."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries: dict[tuple[str, str], tuple[Entry, ...]] = {}
        for entry in entries:
            same = self._entries.get((entry.kind, entry.name), ())
            if entry not in same:
                self._entries[entry.kind, entry.name] = (*same, entry)

    def names(self, kind: str) -> list[str]:
        """The names of a kind, sorted; nothing is imported."""
        _base(kind)
        return sorted(name for have, name in self._entries if have == kind)

    def entry(self, kind: str, name: str) -> Entry:
        """What was announced under a name; nothing is imported.

        UnknownNameError, or PluginError when two distributions claim the name.
        """
        _base(kind)
        entries = self._entries.get((kind, name), ())
        if not entries:
            known = self.names(kind)
            raise UnknownNameError(
                hinted(f"unknown {kind[:-1]} {shown(name)} (known: {listed(known)})", name, known)
            )
        if len(entries) > 1:
            claims = " and ".join(f"{entry.distribution} ({entry.value})" for entry in entries)
            raise PluginError(
                f"the {kind[:-1]} {name!r} is registered twice, by {claims}; uninstall one of the two"
            )
        return entries[0]

    def get(self, kind: str, name: str) -> type[Plugin]:
        """The plug-in class of a name, imported now. UnknownNameError or PluginError."""
        entry = self.entry(kind, name)
        if entry.loaded is not None:
            return entry.loaded
        plugin = _imported(entry)
        base = _base(kind)
        if not (isinstance(plugin, type) and issubclass(plugin, base)):
            raise PluginError(
                f"the {kind[:-1]} {name!r} of {entry.distribution} is no {base.__name__}: "
                f"{entry.value} must be a subclass of testbed.protocols.{base.__name__}"
            )
        return plugin

    def name_of(self, kind: str, plugin: type[Plugin]) -> str | None:
        """The name that a class is registered under, or None."""
        value = f"{plugin.__module__}:{plugin.__qualname__}"
        for entries in self._entries.values():
            for entry in entries:
                if entry.kind == kind and (entry.loaded is plugin or entry.value == value):
                    return entry.name
        return None

    def extended(self, **plugins: Mapping[str, type[Plugin]]) -> Registry:
        """A registry with more classes in it, which replace namesakes: `extended(attacks={"mine": Mine})`."""
        added = [
            Entry(kind, name, f"{cls.__module__}:{cls.__qualname__}", "in memory", cls)
            for kind, classes in plugins.items()
            for name, cls in classes.items()
        ]
        for entry in added:
            _base(entry.kind)
        replaced = {(entry.kind, entry.name) for entry in added}
        kept = [entry for key, same in self._entries.items() if key not in replaced for entry in same]
        return Registry([*kept, *added])


@lru_cache(maxsize=1)
def installed() -> Registry:
    """The plug-ins that installed distributions announce."""
    return Registry(
        Entry(kind, point.name, point.value, point.dist.name if point.dist else "an unnamed distribution")
        for kind in KINDS
        for point in importlib.metadata.entry_points(group=f"testbed.{kind}")
    )


def names(kind: str) -> list[str]:
    """The installed names of a kind, sorted; nothing is imported."""
    return installed().names(kind)


def get(kind: str, name: str) -> type[Plugin]:
    """The installed plug-in class of a name, imported now. UnknownNameError or PluginError."""
    return installed().get(kind, name)


def _base(kind: str) -> type[Plugin]:
    try:
        return KINDS[kind]
    except KeyError:
        raise UnknownNameError(f"unknown kind of plug-in {kind!r} (known: {listed(KINDS)})") from None


def _imported(entry: Entry) -> object:
    module, _, attribute = entry.value.partition(":")
    if entry.distribution == OWN_DISTRIBUTION:
        refuse_shadow(module.partition(".")[0], Path(__file__).resolve().parent.parent)
    try:
        found: object = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a plug-in does while it is imported, SystemExit included
        raise PluginError(
            f"the {entry.kind[:-1]} {entry.name!r} of {entry.distribution} cannot be imported from "
            f"{entry.value}: {type(error).__name__}: {error}"
        ) from error
    return found


def refuse_shadow(package: str, home: Path) -> None:
    """PluginError unless the top-level `package` is the one in `home`, where this distribution lies.

    Our plug-in packages have everyday names (`attacks`, `catalogs`), so that a folder in the user's working
    directory, or another distribution, can come before them on sys.path.
    """
    loaded = sys.modules.get(package)
    spec = getattr(loaded, "__spec__", None) if loaded is not None else importlib.util.find_spec(package)
    if spec is None:
        return  # the import itself will say that it is missing
    places = [Path(place).resolve() for place in spec.submodule_search_locations or ()]
    if home / package not in places:
        stranger = places[0] if places else spec.origin
        raise PluginError(
            f"the package {package!r} of {OWN_DISTRIBUTION} is hidden by {stranger}, which Python finds "
            f"first; rename that or run from another directory (ours is {home / package})"
        )
