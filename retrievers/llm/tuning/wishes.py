"""What a shopper asks of a page of products, and how well each product answers it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from retrievers.llm.tuning.products import Shop, one, written
from retrievers.llm.tuning.world import Quality, Split, World

SHARES = {
    "number": 0.34,
    "tag": 0.25,
    "use": 0.08,
    "tag and number": 0.11,
    "limit": 0.15,
    "tags": 0.05,
    "none": 0.02,
}
"""How often each kind of request is drawn; kinds that a page does not allow are drawn again."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A request and the utility of every product for it: (products,) from 0 to 1; the best has 1."""

    text: str
    utility: np.ndarray
    kind: str


def wish(world: World, page: Shop, split: Split, rng: np.random.Generator) -> Wish:
    """A request that some product answers better than others (but for kind `none`)."""
    shares = np.array(list(SHARES.values()))
    while True:
        chosen = str(rng.choice(list(SHARES), p=shares / shares.sum()))
        found = KINDS[chosen](world, page, split, rng)
        if found is None:
            continue
        text, points = found
        if np.ptp(points) > 0 or chosen == "none":
            return Wish(_dressed(world, text, page, split, rng), stretched(points), chosen)


def wishes(world: World, page: Shop, split: Split, count: int, rng: np.random.Generator) -> list[Wish]:
    """Up to `count` different requests for a page."""
    found: dict[str, Wish] = {}
    for _ in range(4 * count):
        asked = wish(world, page, split, rng)
        found.setdefault(asked.text, asked)
        if len(found) == count:
            break
    return list(found.values())


def stretched(points: np.ndarray) -> np.ndarray:
    """Points of the admissible products (those not NaN) stretched over 0.1 to 1; the others have 0."""
    found = np.zeros(len(points))
    fine = ~np.isnan(points)
    if fine.any():
        low, span = points[fine].min(), np.ptp(points[fine])
        found[fine] = 1.0 if span == 0 else (points[fine] - low) / span
        if not fine.all():
            found[fine] = 0.1 + 0.9 * found[fine]
    return found


def grades(utility: np.ndarray) -> np.ndarray:
    """Utilities as grades: 3 from two thirds upwards, 2 from one third, 1 below, 0 at utility 0: (n,) → (n,)."""
    return np.where(utility <= 0, 0, 1 + (utility >= 1 / 3).astype(int) + (utility >= 2 / 3))


def percentiles(values: Sequence[float]) -> np.ndarray:
    """Mid-rank percentile of each value, 0 to 1."""
    have = np.asarray(values)
    below = (have[:, None] > have[None]).sum(1) + ((have[:, None] == have[None]).sum(1) - 1) / 2
    return np.asarray(below / max(1, len(have) - 1))


Found = tuple[str, np.ndarray] | None


def _number(world: World, page: Shop, split: Split, rng: np.random.Generator) -> Found:
    kind = _kind(page, rng)
    number = world.numbers[kind]
    ways = [way for way in ("more", "less") if getattr(number, way)[split]]
    if not ways:
        return None
    way = str(rng.choice(ways))
    text = one(getattr(number, way)[split], rng)
    return text, _level(page, kind, way)


def _tag(world: World, page: Shop, split: Split, rng: np.random.Generator) -> Found:
    tag = int(rng.integers(len(page.category.tags)))
    have = np.array([float(tag in product.tags) for product in page.products])
    return _frame(world, page.category.tags[tag], split, rng), have


def _tags(world: World, page: Shop, split: Split, rng: np.random.Generator) -> Found:
    first, second = (int(tag) for tag in rng.choice(len(page.category.tags), 2, replace=False))
    have = np.array([float(first in p.tags) + float(second in p.tags) for p in page.products])
    text = _frame(world, page.category.tags[first], split, rng)
    if have.max() < 1:
        return None
    return f"{text} {_and(world, page.category.tags[second], split, rng)}", have


def _use(world: World, page: Shop, split: Split, rng: np.random.Generator) -> Found:
    present = sorted({product.use for product in page.products if product.use is not None})
    if not present:
        return None
    use = int(rng.choice(present))
    have = np.array([float(product.use == use) for product in page.products])
    return _frame(world, world.uses[page.split][use], split, rng), have


def _tag_and_number(world: World, page: Shop, split: Split, rng: np.random.Generator) -> Found:
    tagged, numbered = _tag(world, page, split, rng), _number(world, page, split, rng)
    if tagged is None or numbered is None or not 0 < tagged[1].sum() < len(page.products):
        return None
    first, second = (tagged, numbered) if rng.random() < 0.5 else (numbered, tagged)
    return f"{first[0]} {second[0]}", 2 * tagged[1] + numbered[1]


def _limit(world: World, page: Shop, split: Split, rng: np.random.Generator) -> Found:
    kind = _kind(page, rng)
    number = world.numbers[kind]
    values = np.array([product.numbers[kind] for product in page.products])
    below = bool(number.cap) and (not number.floor or rng.random() < 0.7)
    if not (number.cap or number.floor) or np.ptp(values) == 0:
        return None
    bound = _round_limit(float(np.quantile(values, rng.uniform(0.15, 0.85))), number.digits)
    fine = values <= bound if below else values >= bound
    rest = one((_tag, _number, _use), rng)(world, page, split, rng)
    if rest is None or not 0 < fine.sum() < len(values):
        return None
    limit = one(number.cap if below else number.floor, rng).replace("{}", written(bound, kind, number.digits))
    text = rest[0]
    joined = f"{text.rstrip('.?!')}, {limit}" if limit[0].islower() else f"{text} {limit}"
    return joined, np.where(fine, rest[1], np.nan)


def _none(world: World, page: Shop, split: Split, rng: np.random.Generator) -> Found:
    return one(world.phrases["neutral"][split], rng), np.zeros(len(page.products))


KINDS: dict[str, Callable[[World, Shop, Split, np.random.Generator], Found]] = {
    "number": _number,
    "tag": _tag,
    "use": _use,
    "tag and number": _tag_and_number,
    "limit": _limit,
    "tags": _tags,
    "none": _none,
}


def _kind(page: Shop, rng: np.random.Generator) -> str:
    """A kind of number on the page; price and rating most often, as in life."""
    weights = np.array([2.0 if kind in ("price", "rating") else 1.0 for kind in page.shown])
    return str(rng.choice(list(page.shown), p=weights / weights.sum()))


def _level(page: Shop, kind: str, way: str) -> np.ndarray:
    level = percentiles([product.numbers[kind] for product in page.products])
    return level if way == "more" else 1 - level


def _frame(world: World, quality: Quality, split: Split, rng: np.random.Generator) -> str:
    return one(world.phrases["frames"][split], rng).replace("{wish}", one(quality.ask, rng))


def _and(world: World, quality: Quality, split: Split, rng: np.random.Generator) -> str:
    return one(world.phrases["and"][split], rng).replace("{more}", one(quality.ask, rng))


def _dressed(world: World, text: str, page: Shop, split: Split, rng: np.random.Generator) -> str:
    """The text with the category's names in it, sometimes with background before it."""
    text = text.replace("{one}", page.category.name).replace("{many}", page.category.plural)
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    if rng.random() < 0.15:
        text = f"{one(world.phrases['context'][split], rng)} {text}"
    if rng.random() < 0.1:
        return text.lower().rstrip(".?!")
    return text[:1].upper() + text[1:] if rng.random() < 0.8 else text


def _round_limit(value: float, digits: int) -> float:
    if digits or value < 20:
        return round(value, digits)
    return float(round(value, -1) if value < 400 else round(value / 50) * 50)
