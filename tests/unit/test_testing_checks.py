"""The checks find what they are for: each broken plug-in fails with the cause in the message."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from defences import Detector, Rewriter
from testbed.catalog import Catalog
from testbed.protocols import (
    Access,
    AttackPlugin,
    CatalogPlugin,
    Context,
    StagePlugin,
    Step,
    TokenGradient,
    Victim,
)
from testbed.testing import CheckFailed, ToyRanker, check_attack, check_catalog, check_stage, toy_catalog
from testbed.testing.toy import ToyStage
from testbed.types import Intervention, Item, Request, Slate, Target, TextEdit, Usage
from testbed.victim import BudgetExhausted

COUNTER = itertools.count()
BROKEN: dict[str, Callable[[Any, Context, Slate], Slate]] = {}


def broken(rank: Callable[[Any, Context, Slate], Slate]) -> Callable[[Any, Context, Slate], Slate]:
    BROKEN[rank.__name__] = rank
    return rank


@broken
def repeats(catalog: Catalog, context: Context, slate: Slate) -> Slate:
    return Slate(tuple(slate) * 2)


@broken
def ignores_its_input(catalog: Catalog, context: Context, slate: Slate) -> Slate:
    return catalog.source()


@broken
def forgets_to_return(catalog: Catalog, context: Context, slate: Slate) -> Any:
    return None


@broken
def writes_into_fields(catalog: Catalog, context: Context, slate: Slate) -> Slate:
    for listing in slate:
        if isinstance(listing.fields, dict):
            listing.fields["Name"] = "x"
    return slate


@broken
def counts_calls(catalog: Catalog, context: Context, slate: Slate) -> Slate:
    number = next(COUNTER)
    return Slate(tuple(replace(listing, score=float(number)) for listing in slate))


@broken
def samples_in_secret(catalog: Catalog, context: Context, slate: Slate) -> Slate:
    order = np.random.default_rng(context.seed).permutation(len(slate))
    listings = list(slate)
    return Slate(tuple(listings[index] for index in order))


@broken
def reads_the_catalog(catalog: Catalog, context: Context, slate: Slate) -> Slate:
    return Slate(
        tuple(replace(one, score=float(len("".join(catalog.fields(one.item_id).values())))) for one in slate)
    )


@broken
def keeps_a_careless_memo(catalog: Catalog, context: Context, slate: Slate) -> Slate:
    again = context.memo.setdefault("seen", []) or context.memo["seen"].append(1)
    return Slate(tuple(replace(one, score=1.0 if again else 0.0) for one in slate))


@broken
def scores_nan(catalog: Catalog, context: Context, slate: Slate) -> Slate:
    return Slate(tuple(replace(one, score=float("nan")) for one in slate))


@broken
def answers_a_text(catalog: Catalog, context: Context, slate: Slate) -> Any:
    return "pico, duo"


@broken
def answers_ids(catalog: Catalog, context: Context, slate: Slate) -> Any:
    return Slate(tuple(slate.ids))  # type: ignore[arg-type]


@broken
def empties_with_none(catalog: Catalog, context: Context, slate: Slate) -> Any:
    return Slate(tuple(replace(one, fields=dict.fromkeys(one.fields)) for one in slate))  # type: ignore[arg-type]


@broken
def scores_words(catalog: Catalog, context: Context, slate: Slate) -> Any:
    return Slate(tuple(replace(one, score="high") for one in slate))  # type: ignore[arg-type]


@broken
def writes_into_the_slate(catalog: Catalog, context: Context, slate: Slate) -> Any:
    slate.listings = ()  # type: ignore[misc]
    return slate


@broken
def raises(catalog: Catalog, context: Context, slate: Slate) -> Any:
    raise KeyError("my bug")


class Broken(StagePlugin):
    how: str

    def build(self, catalog: Catalog, env: Any) -> Any:
        return lambda context, slate: BROKEN[self.how](catalog, context, slate)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("repeats", "duplicate-free subset of the pool\n  seen: .* listed more than once"),
        ("ignores_its_input", "not in the pool of .*\n.*the stage ranks the catalog it was built on"),
        ("forgets_to_return", "returned NoneType, not a Slate"),
        ("writes_into_fields", "inputs are not mutated"),
        ("counts_calls", "same key, same result"),
        ("samples_in_secret", "`deterministic` is truthful"),
        ("reads_the_catalog", "an edited stage equals one built on the edited catalog"),
        ("keeps_a_careless_memo", "context.memo is not keyed by everything"),
        ("scores_nan", "has score nan"),
        ("answers_a_text", "the stage returned str, not a Slate"),
        ("answers_ids", "a slate of str, not of listings"),
        ("empties_with_none", "the fields of a listing hold text\n  seen: .* has {.*None"),
        ("scores_words", "scores are numbers or None\n  seen: 'high'"),
        (
            "writes_into_the_slate",
            "without an exception\n  seen: FrozenInstanceError: .*plug-ins, slates .* are frozen",
        ),
        ("raises", r"without an exception\n  seen: KeyError: 'my bug' \(test_testing_checks.py:\d+\)"),
    ],
)
def test_broken_stages(how: str, message: str) -> None:
    with pytest.raises(CheckFailed, match=f"(?s){message}"):
        check_stage(Broken(how=how), catalog=GOOD, examples=12)


def test_the_cause_of_a_failure_is_chained() -> None:
    with pytest.raises(CheckFailed) as caught:
        check_stage(Broken(how="raises"), catalog=GOOD)
    assert isinstance(caught.value.__cause__, KeyError)


class Nones(Rewriter):
    def rewrite(self, catalog: Catalog, env: Any) -> Any:
        return dict.fromkeys


class NoNumber(Detector):
    said: Any = float("nan")

    def judge(self, fields: Any) -> float:
        return self.said  # type: ignore[no-any-return]


class Guesses(Detector):
    def judge(self, fields: Any) -> float:
        return random.random()


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Nones(), "Nones rewrote .*: None.*a rewrite gives a mapping from field to text"),
        (NoNumber(), "NoNumber gave the listing '.+' the score nan: a suspicion is a number"),
        (NoNumber(said="high"), "NoNumber.judge returned 'high' for a listing: a suspicion is a number"),
        (Guesses(), "same key, same result\n  seen: the same listing is scored differently"),
    ],
    ids=repr,
)
def test_broken_defences_are_found_without_a_search(
    plugin: StagePlugin, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path))
    with pytest.raises(CheckFailed, match=f"(?s){message}"):
        check_stage(plugin, examples=1)


@dataclass(frozen=True)
class Cheap(ToyStage):
    def _usage(self, context: Context, slate: Slate) -> Usage:
        return Usage(tokens=self.price(context, slate) + 1)


@dataclass(frozen=True)
class Shifted(ToyStage):
    def gradient(self, *args: Any) -> tuple[TokenGradient, Usage]:
        found, usage = super().gradient(*args)
        return replace(found, token_ids=(1, *found.token_ids[1:])), usage


@dataclass(frozen=True)
class Swapped(ToyStage):
    def many(self, calls: Sequence[Any]) -> list[Slate]:
        return [self(context, *inputs) for context, inputs in reversed(calls)]


@dataclass(frozen=True)
class Forgetful(ToyStage):
    def with_edits(self, intervention: Intervention) -> Any:
        return lambda context, slate: self(context, self.catalog.source(intervention[:1]))


@dataclass(frozen=True)
class Leaky(ToyStage):
    def losses(self, probe: Any, objective: Any) -> tuple[np.ndarray, Usage]:
        found, usage = super().losses(probe, objective)
        return found + max(0, len(probe.slates) - 1), usage


@dataclass(frozen=True)
class Glued(ToyStage):
    def continuations(self, *args: Any) -> tuple[Any, Usage]:
        found, usage = super().continuations(*args)
        return [[replace(one, text=f"{one.text}!") for one in row] for row in found], usage


@dataclass(frozen=True)
class Stubborn(ToyStage):
    def continuations(self, *args: Any) -> tuple[Any, Usage]:
        found, usage = super().continuations(*args)
        return [row[:1] * 2 for row in found], usage


@dataclass(frozen=True)
class Restless(ToyStage):
    def continuations(
        self, probe: Any, target: Any, count: int, seed: int, sampling: Any
    ) -> tuple[Any, Usage]:
        return super().continuations(probe, target, count, next(COUNTER), sampling)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Glued, "a proposed text stands in place as the tokens of the edit and one more"),
        (Stubborn, "up to `count` different, accepted texts are proposed"),
        (Restless, "the same seed proposes the same texts"),
        (Cheap, r"price\(\) is an upper bound of the tokens of a call"),
        (Shifted, r"gradient\(\) is taken with respect to the tokens of the edit"),
        (Swapped, r"many\(\) equals one-by-one calls"),
        (Forgetful, "an edited stage equals one built on the edited catalog"),
        (Leaky, r"losses\(\) of many variants equal those of one"),
    ],
)
def test_broken_abilities(stage: type[ToyStage], message: str) -> None:
    class Plugin(ToyRanker):
        def build(self, catalog: Catalog, env: Any) -> ToyStage:
            return stage(self, catalog)

    with pytest.raises(CheckFailed, match=message):
        check_stage(Plugin(), catalog=GOOD, examples=12)


class Rogue(AttackPlugin):
    access: ClassVar[Access] = Access.ranks
    how: str

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        target = targets[0]
        match self.how:
            case "peeks":
                victim.objective([target.edit("x")])
            case "silent":
                return
            case "elsewhere":
                yield Step((TextEdit("duo", "Description", "x"),))
            case "place":
                yield Step((replace(target.edit("x")[0], place="append"),))
            case "global":
                yield Step(target.edit(f"x{np.random.random()}"))
            case "remembers":
                yield Step(target.edit(f"x{next(COUNTER)}"))
            case "nan":
                yield Step(target.edit("x"), float("nan"))
            case "half":
                yield Step(target.edit("\ud800"))
            case "stubborn":
                yield Step(target.edit("x"))
                while True:
                    try:
                        victim.ranks([target.edit("x")])
                    except BudgetExhausted:
                        continue
                    yield Step(target.edit("x"))
            case "endless":
                while True:
                    with suppress(Exception):
                        victim.ranks([target.edit("x")])
                    yield Step(target.edit("x"))
            case "mute":
                yield Step(target.edit("x"))
                while True:
                    with suppress(Exception):
                        victim.ranks([target.edit("x")])
            case "shrinking":
                while True:
                    victim.ranks([target.edit("x")][: int(victim.remaining["queries"] // 4)])
                    yield Step(target.edit("x"))
            case "array":
                victim.ranks(target.edit("x"))  # type: ignore[arg-type]
            case "state":
                self.how = "silent"  # type: ignore[misc]
            case "around":
                stack = victim._stack  # type: ignore[attr-defined]
                victim.meter.pay(Usage(queries=1, tokens=stack.catalog.source().ids and 10))  # type: ignore[attr-defined]
                yield Step(target.edit("x"))
            case "fragile":
                (ranks,) = victim.ranks([target.edit("x")])
                yield Step(target.edit("x"), ranks[1])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("peeks", "access is 'ranks'; the attack asked for scores"),
        ("silent", "an attack proposes something"),
        ("elsewhere", "a step edits the target's field, or nothing"),
        ("place", "a step edits the target's field, or nothing"),
        ("global", "draws from `rng` only"),
        ("remembers", "the same seed gives the same steps"),
        ("nan", "a step's objective is a number"),
        ("half", "text is text"),
        ("stubborn", "an attack ends when its budget is spent"),
        ("endless", "an attack ends when its budget is spent\n  seen: 51 calls after queries ran out"),
        ("mute", "an attack ends when its budget is spent\n  seen: 51 calls after queries ran out"),
        ("shrinking", "an attack ends when its budget is spent\n  seen: 51 steps after queries ran out"),
        ("array", "until it ends, without an exception\n  seen: TypeError"),
        ("state", "(?s)Instance is frozen.*keep no state"),
        ("around", "a budget of zero buys nothing"),
        ("fragile", "an attack copes with one situation\n  seen: IndexError"),
    ],
)
def test_broken_attacks(how: str, message: str) -> None:
    with pytest.raises(CheckFailed, match=message):
        check_attack(Rogue(how=how))


class NotGen(AttackPlugin):
    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Any:
        return Step(targets[0].edit("x"))


def test_an_attack_that_is_no_generator() -> None:
    with pytest.raises(
        CheckFailed, match="an attack yields steps\n  seen: __call__ returned Step, which is no iterator"
    ):
        check_attack(NotGen())


class Invisible(AttackPlugin):
    access: ClassVar[Access] = Access.gradients

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        yield Step(targets[0].edit("\u202eevil"))


def test_text_that_does_not_survive() -> None:
    with pytest.raises(CheckFailed, match="accepted edits survive the round trip through text"):
        check_attack(Invisible())


GOOD = toy_catalog()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": ("pico",) * 6}, "item ids are unique"),
        ({"columns": {**GOOD.columns, "Name": ("A", "a ", "b", "c", "d", "e")}}, "item names are unique"),
        ({"columns": {**GOOD.columns, "Price": ("$1",)}}, "every column has a text for every item"),
        ({"columns": {**GOOD.columns, "Price": ("$1", " ", "", "", "", "")}}, "fields hold text or nothing"),
        ({"name_field": "Title"}, "name_field names a column"),
        ({"judgements": {"cheap": {"nobody": 1}}}, "cheap: unknown items"),
        ({"judgements": {"nothing": {}}}, r"unknown requests \['nothing'\]"),
        ({"judgements": {"cheap": {"pico": 0.5}}}, "grades are whole numbers from 0"),
        ({"requests": (Request("r", " "),)}, "requests have text"),
        ({"requests": (Request("r", "x", history=("nobody",)),), "judgements": {}}, "a history lists items"),
        ({"attributes": ({"price": float("nan")},) * 6}, "a catalog can be written as JSON"),
        ({"honest_texts": ("x",)}, "honest_texts has one entry an item, or none"),
        ({"ids": (), "columns": {}}, "a catalog has items"),
    ],
)
def test_broken_catalogs(changes: dict[str, Any], message: str) -> None:
    check_catalog(GOOD)
    with pytest.raises(CheckFailed, match=message):
        check_catalog(replace(GOOD, **changes))


class Shuffled(CatalogPlugin):
    def load(self) -> Catalog:
        return Catalog.of([Item(f"i{next(COUNTER)}", {"Name": "x"})])


def test_another_catalog_every_time() -> None:
    with pytest.raises(CheckFailed, match="loading twice gives the same catalog"):
        check_catalog(Shuffled())


@pytest.mark.parametrize("check", [check_stage, check_attack, check_catalog])
def test_a_class_instead_of_an_instance(check: Callable[[Any], None]) -> None:
    with pytest.raises(CheckFailed, match=r"pass Mine\(\), not Mine"):
        check(ToyRanker)
