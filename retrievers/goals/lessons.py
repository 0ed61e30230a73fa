"""Dialogues that the embedded default learns from: shops with made-up listings, the catalog at hand, talk about films.

None of them is anybody's: shoppers are simulated (`retrievers.shoppers.talk`), listings and films are made up. What
people say about films follows the manner of recommendation dialogues such as ReDial's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from retrievers.shoppers import SEED, Facts, Taste
from retrievers.shoppers.talk import Offer, Wish, conversation, offer

if TYPE_CHECKING:
    from retrievers.goals.offers import Offers

PAGES, WISHES = 60, 4
"""Made-up shops, and shoppers of each."""
SHOPPERS = 240
"""Shoppers of the catalog at hand; `use: sessions` has others in its requests."""
FILMS = 120
"""Talks about films."""
GENRES = (
    "comedies",
    "thrillers",
    "science fiction",
    "romances",
    "westerns",
    "horror",
    "documentaries",
    "musicals",
)
MOODS = ("something light", "a good scare", "a story that stays with me", "action", "a film for the family")
FIRST = ("The Last", "A Quiet", "Midnight", "Beyond the", "Summer of", "The Secret", "Lost", "Return to the")
SECOND = ("Harbour", "Garden", "Signal", "Stranger", "Mountain", "Waltz", "Orchard", "Lighthouse")


def lessons(documents: Offers) -> list[list[str]]:
    """All dialogues for a catalog; its own only where it has attributes to have a taste for."""
    found = [*_made_up(), *_films()]
    if any(documents.catalog.attributes):
        found += _at_hand(documents)
    return found


def _made_up() -> list[list[str]]:
    """Shops of the recommender's training world; never of its held-out part."""
    from retrievers.llm.tuning.products import one, shop
    from retrievers.llm.tuning.wishes import wishes
    from retrievers.llm.tuning.world import world

    known, found = world(), []
    for page in range(PAGES):
        rng = np.random.default_rng([SEED, 7, page])
        made = shop(known, one(known.categories["train"], rng), 8, "train", rng)
        texts = [offer(product.fields, made.name_field) for product in made.products]
        for asked in wishes(known, made, "train", WISHES, rng):
            wish = Wish(made.category.plural, asked.text)
            found.append(conversation(wish, _offers(texts, asked.utility, rng), rng))
    return found


def _at_hand(documents: Offers) -> list[list[str]]:
    catalog = documents.catalog
    facts, what = Facts.of(catalog), catalog.name.replace("_", " ")
    texts = [documents.text(row) for row in range(len(documents))]
    found = []
    for shopper in range(SHOPPERS):
        rng = np.random.default_rng([SEED, 8, shopper])
        taste = Taste.drawn(facts, rng)
        wish = Wish.told(what, taste.told(facts))
        found.append(conversation(wish, _offers(texts, taste.utility(facts), rng), rng))
    return found


def _offers(texts: Sequence[str], utility: np.ndarray, rng: np.random.Generator) -> list[Offer]:
    """Up to two that are not what was wished for, then one of the best."""
    order = np.argsort(-utility, kind="stable")
    good = int(order[int(rng.integers(max(1, len(order) // 8)))])
    worse = [int(row) for row in order[len(order) // 2 :] if utility[row] < utility[good]]
    drawn = rng.permutation(worse)[: int(rng.integers(1, 3))].tolist() if worse else []
    return [Offer(texts[row], row == good) for row in [*drawn, good]]


def _films() -> list[list[str]]:
    found = []
    for talk in range(FILMS):
        rng = np.random.default_rng([SEED, 9, talk])
        genre, mood = _one(GENRES, rng), _one(MOODS, rng)
        films = [f"{_one(FIRST, rng)} {_one(SECOND, rng)}" for _ in range(3)]
        found.append(
            [
                f"Hi, I would like to watch {mood} tonight.",
                "Hello! Which films did you like before?",
                f"I love {genre}. {films[0]} was great.",
                f"Then you should see {films[1]}. It is one of the best {genre}.",
                "I have seen that one already. Anything else?",
                f"Have you heard of {films[2]}? If you liked {films[0]}, you will like it.",
                f"No, I have not. {films[2]} sounds like {mood}. I will watch it tonight.",
                "I hope you enjoy it.",
                "Thank you, goodbye.",
            ]
        )
    return found


def _one(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
