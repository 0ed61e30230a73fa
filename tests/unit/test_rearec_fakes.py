"""Fake users in a training: what they hold, how many there are, and that nobody genuine is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from retrievers.rearec.data import Fakes, Interactions, Split, leave_one_out, poisoned, time_split
from retrievers.rearec.data.fakes import fake_history, learnt_counts
from retrievers.rearec.floors import markov
from retrievers.rearec.tuning.options import RearecTrainer
from testbed.cli import main


def split_of(users: int = 20, items: int = 40, timed: bool = False) -> Split:
    rng = np.random.default_rng(1)
    weights = 1 / np.arange(1, items + 1)
    histories = [
        rng.choice(items, size=int(rng.integers(4, 9)), replace=False, p=weights / weights.sum()).tolist()
        for _ in range(users)
    ]
    times = [list(range(len(one))) for one in histories] if timed else None
    names = [f"u{n}" for n in range(users)], [f"i{n}" for n in range(items)]
    return leave_one_out(Interactions.of(*names, histories, times))


def fakes(kind: str = "random", **more: Any) -> Fakes:
    return Fakes(**{"kind": kind, "share": 0.1, "target": "i7", **more})


@pytest.mark.filterwarnings("ignore:leave-one-out")
@pytest.mark.parametrize("kind", ["random", "popular", "bandwagon"])
@pytest.mark.parametrize("timed", [False, True])
def test_genuine_users_and_what_is_held_out_stay_as_they_were(kind: str, timed: bool) -> None:
    split = split_of(timed=timed)
    found = poisoned(split, [fakes(kind)])
    genuine = len(split.interactions)
    assert len(found.interactions) == genuine + 2  # a tenth of 20
    assert found.test is split.test
    assert found.validation is split.validation
    for user in range(genuine):
        assert found.interactions.history(user).tolist() == split.interactions.history(user).tolist()
        assert found.training(user).tolist() == split.training(user).tolist()
    for user in (genuine, genuine + 1):
        assert found.training(user).tolist() == found.interactions.history(user).tolist()
        assert user not in found.test.users
    assert found.interactions.items == split.interactions.items
    assert found.interactions.fingerprint != split.interactions.fingerprint
    if timed:
        assert found.interactions.times is not None
        assert len(found.interactions.times) == len(found.interactions.rows)
    assert poisoned(split, []) is split


@pytest.mark.parametrize("kind", ["random", "popular", "bandwagon"])
def test_a_fake_history_holds_the_target_as_often_as_asked_and_ends_with_it(kind: str) -> None:
    counts = np.arange(40)[::-1]
    for times, length, where in ((1, 6, [5]), (2, 6, [2, 5]), (3, 6, [1, 3, 5]), (4, 3, [0, 1, 2])):
        rng = np.random.default_rng(0)
        found = fake_history(fakes(kind, times=times), 7, counts, length, rng)
        assert len(found) == length
        assert [place for place, item in enumerate(found) if item == 7] == where
        others = [item for item in found if item != 7]
        assert len(set(others)) == len(others)


def test_what_surrounds_the_target_is_of_the_kind() -> None:
    counts = np.array([1000, 900, *[0] * 38])
    drawn = {
        kind: np.concatenate(
            [
                fake_history(fakes(kind, length=5), 7, counts, 5, np.random.default_rng(seed))
                for seed in range(60)
            ]
        )
        for kind in ("random", "popular", "bandwagon")
    }
    share = {kind: float(np.mean(np.isin(items, [0, 1]))) for kind, items in drawn.items()}
    assert share["popular"] == pytest.approx(2 / 5)  # the only items with any popularity are in every history
    assert share["random"] < 0.12
    # two of four others are of the ten most popular, which hold both
    assert 0.05 < share["bandwagon"] < 0.3
    top = set(range(11)) - {7}
    bandwagon = drawn["bandwagon"].reshape(60, 5)
    assert all(len(top & set(row.tolist())) >= 2 for row in bandwagon)


def test_the_budget_is_kept_but_for_the_one_user_that_there_is_at_least() -> None:
    assert [fakes(share=share).count(943) for share in (0.0001, 0.01, 0.05, 1.0)] == [1, 9, 47, 943]
    assert fakes(share=0.03).count(100) == 3


def test_the_same_seed_gives_the_same_users_and_attackers_do_not_know_each_other() -> None:
    split = split_of()
    one, other = fakes("popular"), fakes("popular", target="i3")
    alone, both = poisoned(split, [one]), poisoned(split, [one, other])
    assert alone.interactions.fingerprint == poisoned(split, [one]).interactions.fingerprint
    again = poisoned(split, [fakes("popular", seed=1)])
    assert alone.interactions.fingerprint != again.interactions.fingerprint
    for user in range(20, 22):
        assert alone.interactions.history(user).tolist() == both.interactions.history(user).tolist()
    assert len(both.interactions) == 24


def test_lengths_are_those_of_genuine_users_unless_given() -> None:
    split = split_of()
    found = poisoned(split, [fakes(share=1.0)])
    assert set(found.known[20:].tolist()) <= {max(2, length) for length in split.known.tolist()}
    assert set(poisoned(split, [fakes(length=5)]).known[20:].tolist()) == {5}


def test_counts_are_those_of_what_is_learnt_from() -> None:
    split = leave_one_out(Interactions.of(["a", "b"], ["x", "y", "z"], [[0, 0, 1, 2], [1, 2, 2, 2]]))
    assert learnt_counts(split).tolist() == [2, 1, 1]


def test_a_first_order_chain_learns_what_fake_users_teach() -> None:
    split = leave_one_out(Interactions.of(["a"], [f"i{n}" for n in range(12)], [[0, 1, 2, 3]]))
    found = poisoned(split, [Fakes(kind="popular", share=1.0, target="i9", length=2)])
    before_target, target = found.interactions.history(1).tolist()
    assert target == 9
    assert before_target in (0, 1)  # what is learnt from the genuine user
    asked = np.array([0]), np.array([before_target + 1])
    clean, fooled = (markov(one)(*asked)[0] for one in (split, found))
    assert fooled[9] - clean[9] == pytest.approx(
        1 + 1 / 5
    )  # one transition, and its share of 2 + 2 (+ 1) items


@pytest.mark.filterwarnings("ignore:leave-one-out")
def test_a_split_by_time_keeps_its_folds() -> None:
    split = split_of(timed=True)
    whole = time_split(split.interactions)
    found = poisoned(whole, [fakes()])
    assert found.test is whole.test
    assert found.known[:20].tolist() == whole.known.tolist()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "nuke"}, "'random', 'popular' or 'bandwagon'"),
        ({"share": 0}, "greater than 0"),
        ({"share": 1.5}, "less than or equal to 1"),
        ({"times": 0}, "greater than or equal to 1"),
        ({"length": 1}, "greater than or equal to 2"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_options_that_make_no_sense_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        fakes(**given)


def test_one_attacker_or_several_may_be_given() -> None:
    one = {"kind": "random", "share": 0.1, "target": 50}
    assert RearecTrainer(data=Path("x"), fakes=one).fakes == (  # type: ignore[arg-type]
        Fakes(kind="random", share=0.1, target="50"),
    )
    assert len(RearecTrainer(data=Path("x"), fakes=[one, one]).fakes) == 2  # type: ignore[arg-type]
    assert RearecTrainer(data=Path("x")).fakes == ()


def test_the_command_line_trains_with_fakes_and_names_a_target_that_is_not_there(tmp_path: Path) -> None:
    data = tmp_path / "some.txt"
    data.write_text("\n".join(f"u{n} a b c d e f" for n in range(8)) + "\n")
    given = ["train", "rearec", "--data", str(data), "--width", "4", "--inner", "4", "--epochs", "1"]
    given += ["--threads", "1", "--device", "cpu"]
    attack = "{kind: random, share: 0.5, target: TARGET}"
    wrong = CliRunner().invoke(
        main, [*given, "--out", str(tmp_path / "wrong"), "--fakes", attack.replace("TARGET", "ab")]
    )
    assert wrong.exit_code == 2
    assert "fakes: target: no item 'ab' in the interactions" in wrong.output
    right = CliRunner().invoke(
        main, [*given, "--out", str(tmp_path / "right"), "--fakes", attack.replace("TARGET", "c")]
    )
    assert right.exit_code == 0, right.output
    card = (tmp_path / "right" / "README.md").read_text()
    assert "fakes" in card
    assert "8 users measured" in card
