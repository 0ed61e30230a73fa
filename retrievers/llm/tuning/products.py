"""Made-up listings of one category, in one of very many formats."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from retrievers.llm.tuning.world import Category, Number, Quality, Split, World

T = TypeVar("T")
SUFFIXES = (
    "Classic",
    "Pro",
    "Plus",
    "Go",
    "Express",
    "One",
    "Prime",
    "Studio",
    "Lite",
    "Grand",
    "Mini",
    "Select",
)
SYLLABLES = (
    "al ar bel bri cor dan del el fen gar hal in jor kel lan lor mar mon nar nor or pel quin ral sel tan "
)
SYLLABLES += "tor ul val ven vor wen wil xan yor zel"
ENDINGS = ("a", "o", "ia", "en", "is", "er", "ix", "ora", "um", "elle")
COLOURS = ("black", "white", "grey", "blue", "red", "green", "silver", "beige")
PLACES = ("Portugal", "Japan", "Germany", "Vietnam", "Canada", "Italy", "Mexico", "Poland")
NAME_LABELS = ("Name", "Name", "Name", "Title", "Product", "Item")
TEXT_LABELS = ("Description", "Description", "Description", "About", "Summary", "Details")
TAG_LABELS = ("Features", "Features", "Highlights", "Amenities", "Extras", "Specials", "Good to know")
USE_LABELS = ("Ideal For", "Ideal For", "Best for", "Suited to", "Recommended for")
SENTENCES = (
    "{Tags}.",
    "Comes with {tags}.",
    "{flavour} {Tags}.",
    "{Tags}. {flavour}",
    "You get {tags}. {flavour}",
    "{flavour} With {tags}.",
    "{Category} with {tags}.",
)


@dataclass(frozen=True, slots=True)
class Product:
    """A listing with the facts behind it. `tags`: indices into the category's; `use`: index into the world's."""

    name: str
    fields: dict[str, str]
    numbers: dict[str, float]
    tags: frozenset[int]
    use: int | None


@dataclass(frozen=True, slots=True)
class Shop:
    """Products of one category as one page shows them. `shown`: kinds of numbers that every listing states."""

    category: Category
    products: tuple[Product, ...]
    name_field: str
    shown: tuple[str, ...]
    split: Split


def shop(
    world: World,
    category: Category,
    count: int,
    split: Split,
    rng: np.random.Generator,
    name_label: str | None = None,
) -> Shop:
    """`count` products with different names, written in one format drawn for the page.

    `name_label`: the field of the name, drawn if None.
    """
    kinds = [kind for kind in category.numbers if rng.random() < 0.8] or [next(iter(category.numbers))]
    ranges = {kind: _narrowed(*category.numbers[kind], rng) for kind in kinds}
    layout = _Layout.draw(world, category, kinds, rng)
    if name_label is not None:
        layout = replace(layout, name_label=name_label)
    uses = world.uses[split]
    products = []
    for name in names(category, count, rng):
        tags = frozenset(
            int(tag) for tag in rng.choice(len(category.tags), size=int(rng.integers(1, 4)), replace=False)
        )
        values = {kind: _value(*ranges[kind], world.numbers[kind].digits, rng) for kind in kinds}
        use = int(rng.integers(len(uses))) if layout.use_label else None
        fields = layout.write(name, tags, values, uses[use] if use is not None else None, rng)
        products.append(Product(name, fields, values, tags, use))
    return Shop(category, tuple(products), layout.name_label, tuple(kinds), split)


def names(category: Category, count: int, rng: np.random.Generator) -> list[str]:
    """Different product names of several kinds; some share their first word."""
    found: dict[str, None] = {}
    brands = [_invented(rng) for _ in range(max(2, count // 2))]
    style = rng.integers(4)
    while len(found) < count:
        part, invented = one(category.names, rng), _invented(rng)
        way = style if rng.random() < 0.6 else rng.integers(6)
        name = (
            f"{invented} {part}",
            f"{part}{invented.lower()} {one(SUFFIXES, rng)}",
            invented,
            f"{one(brands, rng)} {part} {int(rng.integers(1, 99)) * 10}",
            f"{part} {one(SUFFIXES, rng)}",
            f"{one(brands, rng)} {one(SUFFIXES, rng)}",
        )[int(way)]
        found[name] = None
    return list(found)


def written(value: float, kind: str, digits: int) -> str:
    """A number as a listing has it: 1,299 or 4.5, but 1999 for a year."""
    return f"{value:.0f}" if kind == "year" else f"{value:,.{digits}f}"


@dataclass(frozen=True, slots=True)
class _Layout:
    """How one page writes its listings."""

    category: Category
    numbers: dict[str, tuple[Number, str, str]]
    name_label: str
    text_label: str | None
    tag_label: str | None
    use_label: str | None
    extra: str | None
    sentence: str
    order: tuple[str, ...]

    @classmethod
    def draw(cls, world: World, category: Category, kinds: list[str], rng: np.random.Generator) -> _Layout:
        numbers = {}
        for kind in kinds:
            number = world.numbers[kind]
            numbers[kind] = (number, one(number.labels, rng), one(number.write, rng))
        place = rng.random()  # where the tags stand: in a field, in the text, or in both
        text = one(TEXT_LABELS, rng) if place > 0.35 or rng.random() < 0.5 else None
        tags = one(TAG_LABELS, rng) if place < 0.6 or text is None else None
        order = ["text", "tags", "use", "extra", *kinds]
        if rng.random() < 0.7:
            order = list(rng.permutation(order))
        return cls(
            category,
            numbers,
            one(NAME_LABELS, rng),
            text,
            tags,
            one(USE_LABELS, rng) if rng.random() < 0.4 else None,
            one(("Colour", "Origin", "Article"), rng) if rng.random() < 0.2 else None,
            one(SENTENCES if place > 0.35 else ("{flavour}",), rng),
            tuple(order),
        )

    def write(
        self,
        name: str,
        tags: frozenset[int],
        values: dict[str, float],
        use: Quality | None,
        rng: np.random.Generator,
    ) -> dict[str, str]:
        said = [one(self.category.tags[tag].say, rng) for tag in sorted(tags)]
        parts: dict[str, tuple[str, str]] = {}
        if self.text_label:
            parts["text"] = (self.text_label, self._text(said, rng))
        if self.tag_label:
            parts["tags"] = (self.tag_label, ", ".join(said))
        if self.use_label and use:
            parts["use"] = (self.use_label, one(use.say, rng))
        if self.extra:
            parts["extra"] = (self.extra, _extra(self.extra, rng))
        for kind, value in values.items():
            number, label, write = self.numbers[kind]
            parts[kind] = (label, write.replace("{}", written(value, kind, number.digits)))
        fields = {self.name_label: name}
        for key in self.order:
            if key in parts:
                label, text = parts[key]
                fields[label if label not in fields else f"{label} ({key})"] = text
        return fields

    def _text(self, said: list[str], rng: np.random.Generator) -> str:
        tags = said[0] if len(said) == 1 else ", ".join(said[:-1]) + " and " + said[-1]
        text = self.sentence.replace("{flavour}", one(self.category.flavour, rng))
        text = text.replace("{Category}", _capital(self.category.name))
        return text.replace("{Tags}", _capital(tags)).replace("{tags}", tags)


def one(choices: tuple[T, ...] | list[T], rng: np.random.Generator) -> T:
    """One of several."""
    return choices[int(rng.integers(len(choices)))]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _invented(rng: np.random.Generator) -> str:
    syllables = SYLLABLES.split()
    stem = "".join(one(syllables, rng) for _ in range(int(rng.integers(1, 3))))
    return _capital(stem + one(ENDINGS, rng))


def _extra(label: str, rng: np.random.Generator) -> str:
    if label == "Article":
        return f"{one(('A', 'K', 'N', 'X'), rng)}-{int(rng.integers(1000, 9999))}"
    return one(COLOURS if label == "Colour" else PLACES, rng)


def _narrowed(low: float, high: float, rng: np.random.Generator) -> tuple[float, float]:
    """Sometimes only a part of the range, so that what is much depends on the list."""
    if rng.random() < 0.6:
        return low, high
    start, width = rng.uniform(0, 0.5), rng.uniform(0.3, 0.5)
    return low + start * (high - low), low + (start + width) * (high - low)


def _value(low: float, high: float, digits: int, rng: np.random.Generator) -> float:
    """A number of the range, on a log scale where it spans much."""
    if low > 0 and high / low > 5:
        value = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    else:
        value = float(rng.uniform(low, high))
    if digits == 0 and value >= 100 and not 1900 < value < 2100 and rng.random() < 0.5:
        value = round(value, -1) - (1 if rng.random() < 0.6 else 0)
    return round(value, digits)
