"""A catalog as a corpus of token ids: the name of every item as title, its searched fields as body."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from retrievers.seal.index import NgramIndex, load, save
from retrievers.seal.index.arrays import Document
from retrievers.shown import Documents
from testbed.errors import UserError
from testbed.language.special import disarmed

if TYPE_CHECKING:
    from retrievers.seal.asking import Reader
    from testbed.catalog import Catalog
    from testbed.types import Intervention, Listing

CHUNK = 1024
"""Documents that are tokenised at once."""
KEPT = 200_000
"""Characters from which on an index is kept on disk: smaller ones are made faster than looked up."""


class Corpus:
    """Documents of a catalog: title (where `titles`) and body, as tokens that stand in the middle of a text."""

    def __init__(self, catalog: Catalog, fields: Sequence[str], titles: bool, reader: Reader) -> None:
        self.catalog, self.reader = catalog, reader
        self.names = Documents(catalog, (catalog.name_field,)) if titles else None
        self.bodies = Documents(catalog, fields)

    def __len__(self) -> int:
        return len(self.catalog)

    def index(self, cache: Path) -> NgramIndex:
        """The n-gram index of the catalog as it is, from `<cache>/ngrams/` where it is kept."""
        digest, size = hashlib.blake2b(digest_size=16), 0
        digest.update(self.reader.fingerprint.encode())
        for row in range(len(self)):
            for part in self._texts(row):
                text = (part or "").encode("utf-8", "surrogatepass")
                digest.update(b"." if part is None else len(text).to_bytes(8, "big") + text)
                size += len(text)
        if size < KEPT:
            return NgramIndex.build(self._documents())
        path = cache / "ngrams" / f"{digest.hexdigest()}.ngrams"
        if path.is_file():
            try:
                return load(path)[0]
            except UserError:  # a damaged cache is made again
                path.unlink(missing_ok=True)
        index = NgramIndex.build(self._documents())
        with suppress(OSError):  # a cache that cannot be written costs time only
            save(index, path, {"catalog": self.catalog.name, "reader": self.reader.fingerprint})
        return index

    def edited(self, intervention: Intervention) -> dict[int, Document]:
        """Row → document of every item whose text an intervention changes."""
        names = self.names.edited(intervention) if self.names else {}
        bodies = self.bodies.edited(intervention)
        return self._made(names, bodies)

    def changed(self, rows: Sequence[int], listings: Sequence[Listing]) -> dict[int, Document]:
        """Row → document of every listing whose text is not the vendor's."""
        names = self.names.changed(rows, listings) if self.names else {}
        return self._made(names, self.bodies.changed(rows, listings))

    def _made(self, names: Mapping[int, str], bodies: Mapping[int, str]) -> dict[int, Document]:
        rows = sorted({*names, *bodies})
        texts = [
            (
                names.get(row, self.names.text(row)) if self.names else None,
                bodies.get(row, self.bodies.text(row)),
            )
            for row in rows
        ]
        return dict(zip(rows, self._tokenised(texts), strict=True))

    def _texts(self, row: int) -> tuple[str | None, str]:
        return (self.names.text(row) if self.names else None, self.bodies.text(row))

    def _documents(self) -> Iterator[Document]:
        for start in range(0, len(self), CHUNK):
            yield from self._tokenised(
                [self._texts(row) for row in range(start, min(start + CHUNK, len(self)))]
            )

    def _tokenised(self, texts: Sequence[tuple[str | None, str]]) -> list[Document]:
        specials = self.reader.specials
        flat = [" " + disarmed(_sound(part), specials) if part else "" for pair in texts for part in pair]
        ids = iter(self.reader.encode_many(flat))
        made = [(next(ids), next(ids)) for _ in texts]
        return [
            (own if title is not None else None, body)
            for (title, _), (own, body) in zip(texts, made, strict=True)
        ]


def _sound(text: str) -> str:
    """The text without halves of surrogate pairs, which no tokenizer takes."""
    return text.encode("utf-8", "replace").decode("utf-8")
