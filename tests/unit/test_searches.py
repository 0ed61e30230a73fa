"""Searches without gradients find what is there to find, and do better than chance for the same queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from attacks.beam_search import BeamSearch, cut
from attacks.hill_climb import HillClimb, moved
from attacks.scored import in_turn
from attacks.words import acceptable, vocabulary
from retrievers.llm import LanguageModelRecommender
from testbed.protocols import Access, AttackPlugin, Sampling, Step
from testbed.stack import Node, Stack
from testbed.testing import ToyEnvironment, ToyObjective, toy_catalog, toy_stack
from testbed.types import Intervention, Situation, Target
from testbed.victim import BudgetExhausted, StackVictim

TARGET = Target("grand", "Description")
SITUATIONS = (Situation("cheap", 0, 5), Situation("camp", 1, 3))


class Planted(StackVictim):
    """Scores a text by how far it is from one that is planted, whatever the stack says of it."""

    distance: Callable[[str], float]

    def objective(self, interventions: Sequence[Intervention], situations: Any = None) -> np.ndarray:
        found = super().objective(interventions, situations)
        texts = [edits[0].text if edits else "" for edits in interventions]
        return np.repeat([[self.distance(text)] for text in texts], found.shape[1], axis=1)

    def screen(
        self, interventions: Sequence[Intervention], base: Intervention, situations: Any = None, **_: Any
    ) -> np.ndarray:
        return self.objective(interventions, situations)


def victim_of(
    stack: Stack | None = None, cls: type[StackVictim] = StackVictim, limits: dict[str, float] | None = None
) -> Any:
    return cls(
        stack or toy_stack(),
        [TARGET],
        SITUATIONS,
        access=Access.scores,
        limits=limits,
        objective=ToyObjective(),
    )


def planted(distance: Callable[[str], float]) -> Any:
    victim = victim_of(cls=Planted)
    victim.distance = distance
    return victim


def tiny_stack() -> Stack:
    catalog = toy_catalog()
    plugin = LanguageModelRecommender(system="Rank.", opening="Best:\n1.")
    return Stack(catalog, [Node("llm", plugin.build(catalog, ToyEnvironment()))])


def steps_of(plugin: AttackPlugin, victim: Any, count: int = 10**6, seed: int = 0) -> list[Step]:
    """The steps until there are so many or the budget is spent."""
    found = []
    moves = iter(plugin([TARGET], victim, np.random.default_rng(seed)))
    try:
        while len(found) < count:
            found.append(next(moves))
    except (BudgetExhausted, StopIteration):
        pass
    return found


def text_of(step: Step) -> str:
    return step.intervention[0].text if step.intervention else ""


def words_apart(wanted: str) -> Callable[[str], float]:
    """Edit distance in words."""

    def distance(text: str) -> float:
        old, new = wanted.split(), text.split()
        row = list(range(len(new) + 1))
        for place, word in enumerate(old, start=1):
            before, row[0] = row[:], place
            for column, other in enumerate(new, start=1):
                row[column] = min(
                    before[column] + 1, row[column - 1] + 1, before[column - 1] + (word != other)
                )
        return float(row[-1])

    return distance


@pytest.mark.parametrize(
    "options",
    [{}, {"beam": 3}, {"screening": "frozen_tail"}, {"finalists": 99}, {"initial": "v u t s r q"}],
    ids=repr,
)
def test_hill_climbing_finds_a_planted_text(options: dict[str, Any]) -> None:
    wanted = "w x y z w v"
    plugin = HillClimb(length=4, width=24, words=tuple("stuvwxyz"), sources=(), **options)
    steps = steps_of(plugin, planted(words_apart(wanted)), 60)
    assert text_of(steps[-1]) == wanted
    values = [step.objective for step in steps]
    assert values == sorted(values, reverse=True)
    assert values[0] > 1


def test_patience_leaves_a_hill() -> None:
    """The way from `a a` to `b b` leads over worse texts: only a search that accepts those gets there."""
    height = {"a a": 1.0, "a b": 2.0, "b a": 2.0, "b b": 0.0}
    plugin = HillClimb(
        initial="a a", longest=2, moves=("replace",), width=4, words=("a", "b"), sources=(), patience=2
    )
    found = {text_of(step) for step in steps_of(plugin, planted(height.__getitem__), 30)}
    assert "b b" in found
    stubborn = plugin.model_copy(update={"patience": None})
    assert {text_of(step) for step in steps_of(stubborn, planted(height.__getitem__), 30)} == {"a a"}


def test_moves() -> None:
    rng = np.random.default_rng(0)
    words = ["a", "b", "c"]
    for _ in range(20):
        assert sorted(moved(words, "swap", ["x"], 9, rng)) == words
        assert moved(words, "swap", ["x"], 9, rng) != words
        assert moved(words, "delete", ["x"], 9, rng) in (["b", "c"], ["a", "c"], ["a", "b"])
        grown = moved(words, "insert", ["x"], 9, rng)
        assert [word for word in grown if word != "x"] == words
        for move, longest in (("replace", 9), ("insert", 3)):
            changed = moved(words, move, ["x"], longest, rng)  # type: ignore[arg-type]
            assert sum(old != new for old, new in zip(words, changed, strict=True)) == 1
    assert moved(["a"], "delete", ["x"], 9, rng) == moved(["a"], "swap", ["x"], 9, rng) == ["x"]


def test_beam_search_grows_a_planted_text() -> None:
    """With every character proposed, each step finds the next one."""
    wanted = "Qz#7 m"
    tokens = ["Q", "Qz", "Qz#", "Qz#7", "Qz#7 m"]

    def distance(text: str) -> float:
        return float(len(wanted) - max((len(done) for done in tokens if text == done), default=0))

    plugin = BeamSearch(tokens=5, beam=1, width=300, finalists=1, rounds=1)
    steps = steps_of(plugin, planted(distance))
    assert [text_of(step) for step in steps] == ["", *tokens]


def test_a_wide_beam_passes_a_dead_end() -> None:
    """`a` is the better start, but only `b` leads on: a beam of one is lost, a beam of two is not."""
    values = {"": 9.0, "a": 3.0, "b": 4.0, "bc": 0.0}
    lost, found = (
        steps_of(
            BeamSearch(tokens=2, beam=beam, width=300, rounds=1),
            planted(lambda text: values.get(text, 8.0)),
        )
        for beam in (1, 2)
    )
    assert [text_of(step) for step in found] == ["", "a", "bc"]
    assert "bc" not in [text_of(step) for step in lost]


def test_rounds_go_on_from_the_best_text() -> None:
    """Later rounds start from a part of the best text, and keep what was given to start from."""
    plugin = BeamSearch(tokens=9, beam=2, width=8, initial="best", rounds=3)
    steps = steps_of(plugin, victim_of())
    texts = [text_of(step) for step in steps]
    assert all(text.startswith("best") for text in texts)
    lengths = [len(text.replace(" ", "")) for text in texts]
    assert lengths[:6] == [4, 5, 6, 7, 8, 9]
    assert max(lengths) == 9
    assert lengths.count(9) >= 3
    assert sum(old >= new for old, new in pairwise(lengths)) == 2


def test_a_text_that_is_full_is_not_grown() -> None:
    steps = steps_of(BeamSearch(tokens=4, initial="abcd"), victim_of())
    assert [text_of(step) for step in steps] == ["abcd"]


def test_a_cut_text_begins_like_the_whole() -> None:
    found = {cut("the best of all", "the", np.random.default_rng(seed)) for seed in range(40)}
    assert found == {"the", "the best", "the best of"}
    assert cut("the", "the", np.random.default_rng(0)) == "the"
    assert cut("one", "", np.random.default_rng(0)) == ""


PLUGINS = [
    HillClimb(length=5, width=12, finalists=2, sources=("listing", "requests", "characters")),
    BeamSearch(tokens=6, beam=3, width=18, finalists=3),
]


@pytest.mark.parametrize("plugin", PLUGINS, ids=["hill_climb", "beam_search"])
def test_better_than_chance_on_a_language_model(plugin: AttackPlugin) -> None:
    """At the same number of queries a search reaches a lower objective than random texts, on average."""
    stack, limits = tiny_stack(), {"queries": 240.0}
    searched, drawn = [], []
    for seed in range(4):
        victim = victim_of(stack, limits=limits)
        steps = steps_of(plugin, victim, seed=seed)
        searched.append(min(step.objective for step in steps if step.objective is not None))
        assert steps[-1].objective == pytest.approx(
            victim_of(stack).objective([steps[-1].intervention]).mean(), abs=1e-4
        )
        rng = np.random.default_rng(seed)
        pool = vocabulary(TARGET, victim, (), ("listing", "requests", "characters"))
        texts = [" ".join(rng.choice(pool, size=5)) for _ in range(120)]
        losses = victim_of(stack, limits=limits).objective([TARGET.edit(text) for text in texts])
        drawn.append(losses.mean(axis=1).min())
    assert np.mean(searched) < np.mean(drawn) - 0.1


def test_the_budget_that_a_step_is_said_to_take() -> None:
    """`queries_per_step` is an upper bound, and not far off."""
    for plugin in (*PLUGINS, HillClimb(width=3), BeamSearch(beam=2, width=4)):
        victim = victim_of()
        moves = iter(plugin([TARGET], victim, np.random.default_rng(0)))
        next(moves)
        for _ in range(4):
            before = victim.meter.usage.queries
            next(moves)
            assert victim.meter.usage.queries - before <= plugin.queries_per_step(2)
        assert victim.meter.usage.queries > plugin.queries_per_step(2)


def test_beam_search_needs_a_stage_that_writes() -> None:
    class Silent:
        """A scorable stage without words of its own."""

        def __init__(self, stage: Any) -> None:
            self.losses, self.price = stage.losses, stage.price

        def __call__(self, *args: Any) -> Any:
            raise NotImplementedError

    stack = Stack(toy_catalog(), [Node("bm25", Silent(toy_stack().last.stage))])
    with pytest.raises(
        Exception, match="stage 'bm25' proposes no text of its own; attack it by hill_climb or random_search"
    ):
        steps_of(BeamSearch(), victim_of(stack), 3)


def test_greedy_beam_search_writes_what_the_model_would() -> None:
    """One beam, one branch, temperature 0: every step adds the likeliest token that may be added."""
    victim = victim_of(tiny_stack())
    plugin = BeamSearch(tokens=4, beam=1, width=1, temperature=0, rounds=1)
    texts = [text_of(step) for step in steps_of(plugin, victim)]
    for turn, (old, new) in enumerate(pairwise(texts)):
        sampling = Sampling(temperature=0, accept=acceptable(True, ()))
        ((first, *_),) = victim.continuations(
            [TARGET.edit(old)], 5, 0, situation=SITUATIONS[turn % 2], sampling=sampling
        )
        assert new == first.text


def test_words_to_draw_from() -> None:
    victim = victim_of()
    pool = vocabulary(TARGET, victim, ("1. {name}", "top"), ("listing", "requests"))
    assert {"Grand", "foam", "1. Grand Aroma", "top", "cheap", "camping"} <= set(pool)
    assert len(pool) == len(set(pool))
    assert vocabulary(TARGET, victim, ("top",), ()) == ["top"]
    assert {"a", "Z", "#", "7"} <= set(vocabulary(TARGET, victim, (), ("characters",)))


def test_texts_that_may_be_written() -> None:
    accept = acceptable(True, ["Best"])
    assert [text for text in ("ok", " a", "a ", "é", "a\nb", "x\u202e", "the BEST", "") if accept(text)] == [
        "ok",
        "",
    ]
    assert acceptable(False, ())("é")


def test_no_word_to_draw_from() -> None:
    with pytest.raises(ValueError, match="there is no word to draw from; name some in words"):
        steps_of(HillClimb(words=("é",), sources=()), victim_of(), 1)


def test_situations_that_were_not_reached_take_no_turn() -> None:
    losses = np.array([1.0, np.inf, 2.0])
    places = (Situation("a", 0), Situation("b", 0), Situation("c", 0))
    assert [in_turn(places, losses, turn, 1) for turn in range(3)] == [[places[0]], [places[2]], [places[0]]]
    assert in_turn(places, losses, 0, 9) == [places[0], places[2]]
    assert in_turn(places, np.full(3, np.inf), 0, 1) == []
