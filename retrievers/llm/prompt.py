"""Prompts: how listings and the request are written out for the model. The only place that renders fields."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from testbed.language.special import disarmed
from testbed.types import Listing

Messages = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Renderer:
    """Writes listings as text. Special tokens in a listing are broken up: data must not become control.

    `specials`: the model's special-token strings. `limit`: characters shown of each field.
    """

    template: str
    limit: int | None
    specials: tuple[str, ...]

    def listing(self, fields: Mapping[str, str], name_field: str) -> str:
        """One listing, without the line break that ends it."""
        shown = {name: self.clean(text) for name, text in fields.items()}
        match self.template:
            case "json":
                return json.dumps(shown, ensure_ascii=False)
            case "prose":
                rest = " ".join(
                    f"{name}: {_one_line(text)}." for name, text in shown.items() if name != name_field
                )
                return f"{_one_line(shown.get(name_field, ''))}. {rest}"
            case _:
                return "\n".join(f"{name}: {_one_line(text)}" for name, text in shown.items())

    def listings(self, listings: Sequence[Listing], name_field: str) -> str:
        """All listings; key–value blocks are set apart by an empty line."""
        gap = "\n\n" if self.template == "lines" else "\n"
        return gap.join(self.listing(listing.fields, name_field) for listing in listings)

    def clean(self, text: str) -> str:
        """A field's text as shown: special tokens broken up, cut to the limit."""
        text = self.disarmed(text)
        return text if self.limit is None else text[: self.limit]

    def disarmed(self, text: str) -> str:
        """A text with its special tokens broken by a space."""
        return disarmed(text, self.specials)


def _one_line(text: str) -> str:
    """Line breaks would let one field pose as the next."""
    return " ".join(text.splitlines())


def list_messages(system: str, products: str, request: str, template: str = "{request}") -> Messages:
    """The conversation for a listwise recommendation: products first, then what the user wants.

    A `template` that holds {products} says itself where they stand, so that the request may come on both sides.
    """
    told = template if "{products}" in template else f"Products:\n\n{{products}}\n\n{template}"
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": _filled(told, products, request)},
    ]


def pointwise_messages(system: str, product: str, request: str, template: str = "{request}") -> Messages:
    """The conversation that asks about one product alone; the request stands first, shared by all products."""
    told = template if "{products}" in template else f"{template}\n\nProduct:\n\n{{products}}"
    question = f"{_filled(told, product, request)}\n\nDoes this product fit the request? Answer yes or no."
    return [{"role": "system", "content": system}, {"role": "user", "content": question}]


def _filled(template: str, products: str, request: str) -> str:
    """A template with the request and, once, the products in their places."""
    before, _, after = template.partition("{products}")
    return before.replace("{request}", request) + products + after.replace("{request}", request)
