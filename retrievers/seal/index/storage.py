"""An index on disk: one file, read by memory map, with a versioned header and checksums."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from retrievers.seal.index.arrays import BLOCK, FIRST, Arrays
from retrievers.seal.index.ngrams import NgramIndex
from testbed.errors import UserError

MAGIC, VERSION = b"NGRAMIDX", 1
ALIGNED = 64
DTYPES = ("uint8", "uint16", "uint32", "int32", "int64")
LONGEST_HEADER = 2**24


def save(index: NgramIndex, path: Path, about: dict[str, Any] | None = None) -> None:
    """Write an index. `about` (JSON values) is kept in its header; the file is whole or not there."""
    arrays = {entry.name: getattr(index.arrays, entry.name) for entry in fields(Arrays)}
    entries, offset = {}, 0
    for name, values in arrays.items():
        offset = -(-offset // ALIGNED) * ALIGNED
        entries[name] = {
            "dtype": str(values.dtype),
            "length": len(values),
            "offset": offset,
            "sha256": hashlib.sha256(values.data).hexdigest(),
        }
        offset += values.nbytes
    header = json.dumps({"version": VERSION, "arrays": entries, "about": about or {}}).encode()
    opening = MAGIC + len(header).to_bytes(8, "little") + hashlib.sha256(header).digest() + header
    begin = -(-len(opening) // ALIGNED) * ALIGNED
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as stream:
        stream.write(opening)
        for name, values in arrays.items():
            stream.seek(begin + int(entries[name]["offset"]))  # type: ignore[call-overload]
            stream.write(values.data)
        stream.truncate(begin + offset)
    os.replace(partial, path)


def load(path: Path, *, verify: bool = True) -> tuple[NgramIndex, dict[str, Any]]:
    """An index by memory map, and what its header says about it. UserError for a damaged file or another version.

    `verify`: read everything once, compare checksums and check that no entry points outside; without it
    only the header is checked, for files of one's own making.
    """
    try:
        header, begin = _header(path)
        data = np.memmap(path, mode="r")
        arrays = Arrays(**{entry.name: _part(data, begin, header, entry.name) for entry in fields(Arrays)})
    except OSError as fault:
        raise UserError(f"{path}: cannot be read: {fault.strerror or fault}") from fault
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise UserError(f"{path}: is damaged ({fault}); build the index again") from fault
    if verify:
        for name, entry in header["arrays"].items():
            if hashlib.sha256(getattr(arrays, name).data).hexdigest() != entry["sha256"]:
                raise UserError(f"{path}: is damaged (checksum of {name}); build the index again")
    wrong = _inconsistent(arrays, deep=verify)
    if wrong:
        raise UserError(f"{path}: is damaged ({wrong}); build the index again")
    return NgramIndex(arrays), header["about"]


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header and where the arrays begin."""
    with path.open("rb") as stream:
        if stream.read(8) != MAGIC:
            raise UserError(f"{path}: is no n-gram index")
        length = int.from_bytes(stream.read(8), "little")
        digest = stream.read(32)
        text = stream.read(length) if length <= LONGEST_HEADER else b""
    if len(text) != length or hashlib.sha256(text).digest() != digest:
        raise ValueError("header")
    header = json.loads(text)
    if header["version"] != VERSION:
        raise UserError(
            f"{path}: has version {header['version']} of the format, this one reads {VERSION}; build it again"
        )
    return header, -(-(48 + length) // ALIGNED) * ALIGNED


def _part(data: np.ndarray, begin: int, header: dict[str, Any], name: str) -> np.ndarray:
    entry = header["arrays"][name]
    if entry["dtype"] not in DTYPES:
        raise ValueError(f"{name} has type {entry['dtype']}")
    dtype = np.dtype(entry["dtype"])
    start, size = begin + entry["offset"], entry["length"] * dtype.itemsize
    if entry["offset"] < 0 or entry["length"] < 0 or start + size > len(data):
        raise ValueError("it ends too soon")
    return np.asarray(data[start : start + size]).view(dtype)


def _inconsistent(arrays: Arrays, *, deep: bool) -> str:
    """What does not fit together, so that no search can leave the arrays; '' when all is well."""
    n, types = len(arrays.text), len(arrays.alphabet)
    pairs = len(arrays.follower)
    lengths = {
        "suffixes": len(arrays.suffixes) == n,
        "shared": len(arrays.shared) == n,
        "lowest": len(arrays.lowest) == -(-n // BLOCK),
        "alphabet": types >= FIRST,
        "first": len(arrays.first) == types + 1 and _rising(arrays.first, n),
        "pairs": (len(arrays.pairs) == types + 1 and _rising(arrays.pairs, pairs))
        or not len(arrays.pairs) + pairs,
        "follower_at": len(arrays.follower_at) == pairs,
        "documents": len(arrays.documents) > 0 and _rising(arrays.documents, n),
    }
    if deep and all(lengths.values()):
        lengths |= {
            "text": not n or (arrays.text.max() < types and arrays.text[-1] == 0),
            "suffixes": _within(arrays.suffixes, n),
            "follower": _within(arrays.follower, types),
            "follower_at": _within(arrays.follower_at, n),
            "alphabet": bool((np.diff(arrays.alphabet[FIRST:]) > 0).all()),
        }
    return next((name for name, right in lengths.items() if not right), "")


def _rising(values: np.ndarray, last: int) -> bool:
    return values[0] == 0 and values[-1] == last and bool((np.diff(values) >= 0).all())


def _within(values: np.ndarray, end: int) -> bool:
    return not len(values) or (int(values.min()) >= 0 and int(values.max()) < end)
