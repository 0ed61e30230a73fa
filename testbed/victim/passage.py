"""Calls on their way through a stack: what stages are shown, and the tokens that it took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from testbed.protocols import Context, Priced
from testbed.stack import Call, Node, Outcome, OverAllowance, Scope, Stack
from testbed.types import Slate, Usage
from testbed.victim.meter import Meter

Answer = TypeVar("Answer")


class Passage:
    """One trial's way through a stack, with what is remembered between its calls. `meter` pays for tokens."""

    def __init__(self, stack: Stack, meter: Meter) -> None:
        self.stack, self.meter = stack, meter
        self._scope = Scope()

    def price(self, calls: Sequence[Call]) -> int:
        """Tokens of some calls as far as they can be told beforehand; 0 where they are not limited."""
        return self.stack.price(calls, self._scope) if "tokens" in self.meter.limits else 0

    def run(self, calls: Sequence[Call]) -> list[Outcome]:
        """The stack's answers."""
        return self._through(calls, lambda scope: self.stack.run(calls, scope))

    def arrive(self, node: Node, calls: Sequence[Call], fold: int) -> list[tuple[Context, Slate]]:
        """What a stage is shown; BudgetExhausted when to read it, `fold` times, would overdraw the tokens."""
        arrived = self._through(calls, lambda scope: self.stack.inputs_of(node.name, calls, scope))
        stage = node.stage
        if "tokens" in self.meter.limits and isinstance(stage, Priced):
            price = sum(stage.price(context, slate) for context, slate in arrived)
            self.meter.require(tokens=fold * price)
        return arrived

    def _through(self, calls: Sequence[Call], work: Callable[[Scope], Answer]) -> Answer:
        """With what is left of the tokens; what was computed is paid for in any case, and calls that a stage broke."""
        self._scope.allowance = self.meter.remaining().get("tokens")
        self._scope.spent = Usage()
        try:
            return work(self._scope)
        except OverAllowance:
            raise self.meter.refusal("tokens") from None
        except Exception:
            self.meter.pay(Usage(queries=len(calls)))
            raise
        finally:
            self.meter.pay(self._scope.spent)
