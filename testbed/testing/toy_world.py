"""A small world to try plug-ins in: catalog, stack, registry and environment, all made in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.protocols import Access, AttackPlugin, CatalogPlugin, Step, Victim
from testbed.stack import Node, Stack
from testbed.testing.toy import ToyObjective, ToyRanker
from testbed.types import Item, Request, Target

if TYPE_CHECKING:
    import numpy as np

    from testbed.language import LanguageModel
    from testbed.language.encoder import Encoder
    from testbed.language.seq2seq import EncoderDecoder
    from testbed.registry import Registry

GOODS = (
    ("pico", "Pico Press", "A quiet hand press for one cup", 25),
    ("duo", "Duo Brewer", "Two cups at once, steel body", 80),
    ("grand", "Grand Aroma", "Espresso with milk foam for an office", 900),
    ("basic", "Basic Drip", "Cheap filter machine, ten cups", 30),
    ("trek", "Trek Pot", "Light camping pot made of titanium", 55),
    ("capsa", "Capsa One", "Capsules in thirty seconds", 120),
)
WISHES = (
    ("cheap", "I want a cheap machine"),
    ("office", "Coffee for an office of twenty"),
    ("camp", "Something light for camping"),
    ("quiet", "It has to be quiet in the morning"),
    ("fast", "I am always in a hurry"),
    ("milk", "I like milk foam"),
    ("two", "For two people"),
    ("gift", "A present for my sister"),
)


class ToyCatalog(CatalogPlugin):
    """Six invented coffee makers and eight requests, written in the code."""

    def load(self) -> Catalog:
        """The catalog, always the same."""
        return toy_catalog()


class ToyAttack(AttackPlugin):
    """Lengthen the text by the letter that scores best."""

    access: ClassVar[Access] = Access.scores

    letters: str = "aeiou"

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        target, text = targets[0], ""
        while True:
            drafts = [text + letter for letter in rng.permutation(list(self.letters))]
            losses = victim.objective([target.edit(draft) for draft in drafts]).mean(axis=1)
            text = drafts[int(losses.argmin())]
            yield Step(target.edit(text), float(losses.min()))


def toy_catalog() -> Catalog:
    """Six items with a description, a price and honest text; eight requests, judged by price."""
    items = [
        Item(
            item_id,
            {"Name": name, "Description": text, "Price": f"${price}"},
            {"price": price},
            f"{name}: {text.lower()}. Made with care and easy to clean.",
        )
        for item_id, name, text, price in GOODS
    ]
    requests = [Request(request_id, text) for request_id, text in WISHES]
    grades = {item.id: max(0, 3 - int(item.attributes["price"]) // 40) for item in items}
    return Catalog.of(
        items,
        name="toy",
        name_field="Name",
        requests=requests,
        judgements={request.id: grades for request in requests},
        rule="cheaper is better",
    )


def toy_stack(
    catalog: Catalog | None = None, *, k: int | None = None, noise: float = 0.0, first: int | None = None
) -> Stack:
    """A stack that ends in a `ToyRanker`. `first`: a ranker before it that lets so many listings through."""
    catalog = catalog or toy_catalog()
    env = Environment()
    nodes = [Node("toy", ToyRanker(k=k, noise=noise).build(catalog, env), deterministic=noise == 0)]
    if first is not None:
        nodes = [
            Node("first", ToyRanker(k=first).build(catalog, env)),
            Node("toy", nodes[0].stage, ("first",), deterministic=noise == 0),
        ]
    return Stack(catalog, nodes)


def toy_registry() -> Registry:
    """All installed plug-ins and the toys, each named `toy`."""
    from testbed.registry import installed

    return installed().extended(
        stages={"toy": ToyRanker},
        attacks={"toy": ToyAttack},
        objectives={"toy": ToyObjective},
        catalogs={"toy": ToyCatalog},
    )


@dataclass(frozen=True)
class ToyEnvironment(Environment):
    """Hands out the tiny language model and encoder, whatever model is asked for."""

    def language_model(self, model: str) -> LanguageModel:
        """The tiny Llama with random weights; a family's name (`gpt2`, ...) gives that one."""
        from testbed.testing.tiny import FAMILIES, tiny_language_model

        return self._used(tiny_language_model(model if model in FAMILIES else "llama"))

    def encoder_decoder(self, model: str) -> EncoderDecoder:
        """The tiny BART with random weights; `t5` gives that one."""
        from testbed.testing.tiny_seq2seq import SEQ2SEQ, tiny_encoder_decoder

        return self._used(tiny_encoder_decoder(model if model in SEQ2SEQ else "bart"))

    def encoder(self, model: str) -> Encoder:
        """An encoder that sums one random vector a word."""
        from testbed.testing.tiny import tiny_encoder

        return self._used(tiny_encoder())
