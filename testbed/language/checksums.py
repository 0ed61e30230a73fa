"""SHA-256 of large files, computed once: a digest is remembered while size and time stay the same."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

SUMS = "SHA256SUMS"


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(path: Path, cache: Path) -> str:
    """SHA-256 of a file; read again only when its path, size or modification time has changed.

    The memory is one small file under `<cache>/verified/`; a cache that cannot be written costs time only.
    """
    path = path.resolve()
    facts = path.stat()
    stamp = [str(path), facts.st_size, facts.st_mtime_ns]
    note = cache / "verified" / f"{hashlib.blake2b(str(path).encode(), digest_size=12).hexdigest()}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["file"] == stamp:
            return str(known["sha256"])
    digest = sha256(path)
    with contextlib.suppress(OSError):
        write_atomically(note, json.dumps({"file": stamp, "sha256": digest}))
    return digest


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old text or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".partial")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_sums(folder: Path) -> None:
    """Record every file of a folder in `SHA256SUMS`, in the format of the `sha256sum` command.

    The files become readable for everyone who may enter the folder, so that a cache can be shared.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    write_atomically(folder / SUMS, "".join(lines))
    for path in (*files, folder / SUMS):
        path.chmod(0o644)
    for path in (*files, folder / SUMS):
        path.chmod(0o644)


def damage(folder: Path, cache: Path) -> str:
    """What is wrong with a folder that `write_sums` recorded, in words; '' when every file is as it was."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return f"{SUMS} is missing"
    if not lines:
        return f"{SUMS} is empty"
    for line in lines:
        expected, _, name = line.partition("  ")
        path = folder / name
        if not name or not path.is_file():
            return f"{name or SUMS} is missing"
        if remembered_sha256(path, cache) != expected:
            return f"{name} has changed"
    return ""
