"""What was asked and what it cost, and the ceiling that it must not pass."""

from __future__ import annotations

from pathlib import Path

from testbed.errors import StopRun
from testbed.language.endpoint.answer import Answer
from testbed.language.endpoint.server import Price
from testbed.language.endpoint.shared import Shared
from testbed.store import SPENDING


class Ledger:
    """Books for one run, shared by its processes where there is a folder: `spending.json` in it.

    `requests` that were answered, answers `from_cache`, `failed` attempts; `input_tokens`, `output_tokens` and
    `money` of what was paid for, with `unsure` money that failed attempts may have cost in it.
    The most that a request may cost is booked before it is sent and corrected after, so the ceiling holds
    whatever happens in between. What may have been charged counts as charged.
    """

    def __init__(self, price: Price | None, ceiling: float | None, run: Path | None) -> None:
        self.price, self.ceiling = price, ceiling
        self.state = Shared(run / SPENDING if run is not None else None)

    def begin(self, worst: float) -> None:
        """Set money aside for a request. StopRun when it might pass the ceiling."""
        with self.state.changing() as books:
            spent = books.get("money", 0.0)
            if self.ceiling is not None and spent + worst > self.ceiling:
                raise StopRun(
                    f"max_cost is reached: {spent:.4f} of {self.ceiling:g} is spent, and the next request may cost "
                    f"{worst:.4f}. Nothing more was asked. Answers are kept: with a higher max_cost only what is "
                    "missing is paid for"
                )
            books["money"] = spent + worst

    def answered(self, worst: float, answer: Answer) -> None:
        """Book what a request cost in the end."""
        cost = self.cost(answer)
        with self.state.changing() as books:
            books["money"] = max(0.0, books.get("money", 0.0) + cost - worst)
            _add(books, requests=1, input_tokens=answer.input_tokens, output_tokens=answer.output_tokens)

    def failed(self, worst: float, *, charged: bool) -> None:
        """Book an attempt that brought nothing; `charged`: the server may have counted it all the same."""
        with self.state.changing() as books:
            if not charged:
                books["money"] = max(0.0, books.get("money", 0.0) - worst)
            _add(books, failed=1, **({"unsure": worst} if charged and worst else {}))

    def from_cache(self, count: int) -> None:
        """Book answers that were there already."""
        if count:
            with self.state.changing() as books:
                _add(books, from_cache=count)

    def cost(self, answer: Answer) -> float:
        """Money for an answer."""
        return self.price.of(answer.input_tokens, answer.output_tokens) if self.price else 0.0


def _add(books: dict[str, float], **amounts: float) -> None:
    for name, amount in amounts.items():
        books[name] = books.get(name, 0) + amount
