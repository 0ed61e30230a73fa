"""Scores of next utterances, replies and orders of goals; ranks; plans."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrievers.goals.data import Dialogues
from retrievers.goals.evaluation import (
    direction,
    direction_accuracy,
    goal_orders,
    mean_share,
    next_ranks,
)
from retrievers.goals.planner import best, graph_of, shortest
from retrievers.goals.scoring import (
    Curvature,
    Running,
    chains,
    chains_with_curving,
    full_scores,
    greedy_curving,
    mid_rank,
    reply_scores,
)
from retrievers.goals.scoring.long_term import orders
from testbed.errors import UserError


def unit(rng: np.random.Generator, count: int, width: int = 12) -> np.ndarray:
    found = rng.normal(size=(count, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def curved(count: int, seed: int = 0) -> Curvature:
    rng = np.random.default_rng(seed)
    return Curvature(unit(rng, count), unit(rng, count), unit(rng, count))


@given(st.integers(0, 25), st.integers(1, 3), st.integers(0, 1000))
def test_two_running_sums_equal_the_sum_over_the_dialogue(turns: int, ahead: int, seed: int) -> None:
    said, pool = curved(turns, seed), curved(9, seed + 1).after
    running = Running.empty(len(pool))
    for turn in range(turns):
        running = running.then(said.only(np.array([turn])), pool)
    by_hand = np.zeros(len(pool))
    for turn in range(turns):
        distance = turns - 1 - turn + ahead
        by_hand += pool.astype(np.float64) @ (said.odd if distance % 2 else said.even)[turn]
    assert np.allclose(running.at(ahead), by_hand, atol=1e-6)
    assert np.allclose(full_scores(said, pool, ahead), by_hand, atol=1e-6)


def test_a_thousand_turns_stay_exact() -> None:
    said, pool = curved(1000), curved(50, 7).after
    running = Running.empty(50)
    for turn in range(1000):
        running = running.then(said.only(np.array([turn])), pool)
    assert np.abs(running.odd - full_scores(said, pool)).max() < 1e-6
    assert np.abs(running.even - full_scores(said, pool, 2)).max() < 1e-6


def test_equal_scores_share_their_ranks() -> None:
    assert mid_rank(np.array([3.0, 1.0, 2.0]), 0) == 1
    assert mid_rank(np.array([1.0, 1.0, 2.0, 1.0]), 0) == 3
    assert [mid_rank(np.zeros(10), place) for place in (0, 9)] == [5.5, 5.5]
    with pytest.raises(ValueError, match="no numbers"):
        mid_rank(np.array([1.0, np.nan]), 0)


def test_next_utterances_are_ranked_among_dialogues_that_are_long_enough() -> None:
    dialogues = Dialogues.of([["a", "b", "c"], ["a", "c"], ["b"], ["c", "b", "b", "a"]])
    vectors = np.eye(3, dtype=np.float32)
    # Cosine of what was said first with a pool of b, c, b: the two b share ranks, c is alone.
    ranks = next_ranks(dialogues, Curvature.plain(vectors), (1, 2, 3, 4))
    assert [one.ranks.tolist() for one in ranks] == [[2, 2, 2.5], [2, 1.5], [1], []]
    after = vectors.copy()
    after[1], after[2] = vectors[0], vectors[1]  # b follows a, c follows b
    found = next_ranks(dialogues, Curvature(vectors, vectors, after), (1,))[0]
    assert found.ranks.tolist() == [1.5, 3, 2]
    assert found.share == pytest.approx(found.mean / 3)
    assert mean_share(ranks) == pytest.approx((2.1666667 / 3 + 0.875 + 1) / 3)
    assert mean_share(next_ranks(dialogues, Curvature.plain(vectors), (9,))) == 1.0


def test_plain_cosine_has_no_direction_and_a_curved_space_has() -> None:
    dialogues = Dialogues.of([["a", "b", "c", "d"], ["x"], []])
    vectors = unit(np.random.default_rng(0), 5)
    assert direction_accuracy(dialogues, Curvature.plain(vectors)) == 0.5
    ring = np.eye(5, dtype=np.float32)
    onward = Curvature(ring, ring, np.roll(ring, 1, axis=0))  # A(v) = B(the one before v)
    assert direction(dialogues, onward, 1).tolist() == [1, 1, 1]
    backward = Curvature(ring, ring, np.roll(ring, -1, axis=0))
    assert direction(dialogues, backward, 1).tolist() == [0, 0, 0]
    assert len(direction(Dialogues.of([["x"], []]), Curvature.plain(vectors))) == 0


def test_replies_are_scored_by_the_parity_of_the_goals_distance() -> None:
    replies, goal = curved(4), curved(1, 5)
    assert np.allclose(reply_scores(replies, goal, 3), replies.odd @ goal.after[0], atol=1e-6)
    assert np.allclose(reply_scores(replies, goal, 4), replies.even @ goal.after[0], atol=1e-6)


def test_orders_of_goals_by_hand() -> None:
    assert len(orders(3)) == 6
    assert orders(3)[0].tolist() == [0, 1, 2]
    assert orders(3)[-1].tolist() == [2, 1, 0]
    assert [len(orders(goals)) for goals in (1, 2, 4)] == [1, 2, 24]
    for goals in (0, 9):
        with pytest.raises(UserError, match=f"expected 1 to 8 goals to put in order, got {goals}"):
            orders(goals)
    goals, history = curved(3, 1), curved(2, 2)
    step = goals.even.astype(np.float64) @ goals.after.T
    order = orders(3).tolist()
    assert np.allclose(chains(goals, 2), [step[a, b] + step[b, c] for a, b, c in order])
    # Two turns were said; the first goal comes next: distances 2 and 1.
    near = goals.after.astype(np.float64) @ (history.even[0] + history.odd[1])
    assert np.allclose(greedy_curving(history, goals, 1), near, atol=1e-6)
    expected = [step[a, b] + step[b, c] + near[a] - near[b] / 2 - near[c] for a, b, c in order]
    assert np.allclose(chains_with_curving(history, goals, 1, 2), expected, atol=1e-6)
    alone = curved(1)
    assert np.allclose(chains_with_curving(history, alone, 1, 2), greedy_curving(history, alone, 1))


def test_plain_cosine_ties_a_chain_with_its_reverse() -> None:
    found = chains(Curvature.plain(unit(np.random.default_rng(3), 3)), 2)
    order = [tuple(one) for one in orders(3)]
    reverse = [order.index(one[::-1]) for one in order]
    assert np.allclose(found, found[reverse])
    assert len(np.unique(found.round(9))) == 3


def test_orders_of_goals_are_ranked_in_dialogues_that_are_long_enough() -> None:
    names = [f"t{n}" for n in range(12)]
    dialogues = Dialogues.of([names, names[:8], ["x"]])
    ring = np.eye(13, dtype=np.float32)
    two_on = Curvature(ring, ring, np.roll(ring, 2, axis=0))  # A(v) = B(the one two turns before v)
    found = goal_orders(dialogues, two_on, history=2, distance=2, first=1)
    assert found.chains.tolist() == [1]
    assert found.curved_chains.tolist() == [1]
    assert found.greedy.tolist() == [1]
    assert found.over_reverse.tolist() == [1]
    assert goal_orders(dialogues, two_on, 2, 4, 1).chains.tolist() == []


def test_plans_are_the_shortest_paths_of_the_graph() -> None:
    ring = np.eye(4, dtype=np.float32)
    onward = Curvature(ring, ring, np.roll(ring, 1, axis=0))
    graph = graph_of(["a", "b", "c", "d"], onward)
    assert graph["a"]["b"]["weight"] == 0
    assert graph["b"]["a"]["weight"] == 1
    found = shortest(graph, "a", "d")
    assert found is not None
    assert (found.path, found.length) == (("a", "b", "c", "d"), 0)
    some = best(graph, "a", "d", 3)
    assert len({plan.path for plan in some}) == 3
    assert [plan.length for plan in some] == sorted(plan.length for plan in some)
    assert some[0] == found
    assert [plan.path for plan in best(graph, "a", "d", 9, steps=1)] == [("a", "d")]
    assert len(best(graph, "a", "d", 99)) == 5
    assert best(graph, "a", "a", 3)[0].path == ("a",)
    sparse = graph_of(["a", "b", "c", "d"], onward, neighbours=1)
    assert [plan.path for plan in best(sparse, "a", "d", 3)] == [("a", "b", "c", "d")]
    sparse.remove_edge("a", "b")
    assert shortest(sparse, "a", "d") is None
    with pytest.raises(UserError, match="the graph has no 'bb'; did you mean 'b'"):
        shortest(graph, "a", "bb")
    with pytest.raises(UserError, match="names that differ"):
        graph_of(["a", "a", "b", "c"], onward)
    assert graph_of(["a"], onward.only(np.array([0]))).number_of_edges() == 0


def test_random_plans_agree_with_all_paths() -> None:
    names = list(range(6))
    graph = graph_of(names, curved(6, 4))
    lengths = sorted(
        networkx.path_weight(graph, path, "weight") for path in networkx.all_simple_paths(graph, 0, 5)
    )
    assert [plan.length for plan in best(graph, 0, 5, 10)] == pytest.approx(lengths[:10])
