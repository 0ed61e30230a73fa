"""benchmarks/rearec.py: what its figures rest on, and a whole run with tiny parts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from testbed.errors import UserError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def _on_path() -> Iterator[None]:
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def data(folder: Path, users: int = 60, items: int = 12) -> Path:
    """Users who mostly go round in one circle of items."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    lines = []
    for user in range(users):
        at, found = int(rng.integers(items)), []
        for _ in range(int(rng.integers(4, 9))):
            found.append(f"i{at}")
            at = (at + 1) % items if rng.random() < 0.8 else int(rng.integers(items))
        lines.append(f"u{user} {' '.join(found)}")
    (folder / "seq.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_quarters_keep_equal_values_together() -> None:
    from sequential.groups import quarters

    found = quarters(np.array([5, 5, 5, 5, 5, 6, 7, 7, 9, 40]))
    assert [label for label, _ in found] == ["5", "6–7", "9–40"]
    assert [int(members.sum()) for _, members in found] == [5, 3, 2]
    assert [label for label, _ in quarters(np.arange(8))] == ["0–1", "2–3", "4–5", "6–7"]
    assert [label for label, _ in quarters(np.ones(3, dtype=np.int64))] == ["1"]


def test_popularity_counts_what_is_learnt_from(tmp_path: Path) -> None:
    from sequential.groups import popularity

    from retrievers.rearec.data import leave_one_out, read

    (tmp_path / "seq.txt").write_text("a x y z\nb x y w\nc z z y x\n")
    split = leave_one_out(read(tmp_path / "seq.txt"))
    # learnt from: x; x; z z. Held out: z, w, x.
    assert popularity(split, split.test).tolist() == [2, 0, 2]


def test_differences_are_paired_by_user_and_seed() -> None:
    from sequential.compare import difference

    rng = np.random.default_rng(0)
    users, seeds = rng.random((1, 400)), rng.random((3, 1)) / 2
    base = users + seeds
    better = base + 0.01 + rng.normal(0, 0.02, (3, 400))
    found = difference(better, base)
    assert found.interval.low is not None
    assert found.interval.high is not None
    assert found.p is not None
    assert 0 < found.interval.low < 0.01 < found.interval.high < 0.02  # unpaired, ±.04 from users alone
    assert found.p < 0.001
    nothing = difference(base, base)
    assert (nothing.interval.estimate, nothing.p) == (0.0, None)
    shuffled = difference(base[:, ::-1], base)
    assert shuffled.p is not None
    assert shuffled.p > 0.05


@pytest.mark.parametrize("users", [300, 6000])
def test_intervals_hold_the_mean_of_many_draws(users: int) -> None:
    from sequential.compare import level

    rng = np.random.default_rng(1)
    held = 0
    for _ in range(40):
        values = 0.3 + 0.1 * rng.standard_normal((3, 1)) + 0.2 * rng.standard_normal((1, users))
        values = values + 0.2 * rng.standard_normal((3, users))
        found = level(values, None)
        assert found.low is not None
        assert found.high is not None
        held += found.low < 0.3 < found.high
    assert 33 <= held <= 40


def parts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """States of three steps of 200 users, items, and the items to be found."""
    made = torch.Generator().manual_seed(0)
    items = torch.randn(50, 8, generator=made)
    wanted = torch.randint(50, (200,), generator=made)
    core = items[wanted] + 1.5 * torch.randn(200, 8, generator=made)
    return core + 0.7 * torch.randn(3, 200, 8, generator=made), items, wanted


def rank_of(states: torch.Tensor) -> np.ndarray:
    _, items, wanted = parts()
    scores = states @ items.T
    return np.asarray((scores > scores.gather(1, wanted[:, None])).sum(1) + 1)


def test_steps_that_are_noise_have_a_ceiling_like_their_null() -> None:
    from sequential.ceiling import best, copied, scale_of, scatter

    states, items, wanted = parts()
    ranks = np.stack([rank_of(one) for one in states])
    noise = torch.randn(3, 200, 8, generator=torch.Generator().manual_seed(1))
    mean = states.mean(0)
    scale = scale_of(states, ranks, mean, noise, rank_of)
    found = copied(states, mean, scale, noise, rank_of)
    assert scatter(found) == pytest.approx(scatter(ranks), rel=0.03)
    assert np.mean(1 / best(ranks)) > np.mean(1 / ranks) + 0.05
    assert np.mean(1 / best(found)) == pytest.approx(np.mean(1 / best(ranks)), rel=0.05)
    # Of two steps each is right where the other one is wrong: more than noise of that size gives.
    odd = torch.arange(200) % 2 == 0
    pairs = [torch.where((odd if step else ~odd)[:, None], items[wanted], states[step]) for step in range(2)]
    skilled, ranks = torch.stack(pairs), np.stack([rank_of(one) for one in pairs])
    for centre, some in (
        (skilled.mean(0), noise[:2]),
        (skilled[0], noise[:2] * torch.tensor([0, 1])[:, None, None]),
    ):
        scale = scale_of(skilled, ranks, centre, some, rank_of)
        found = copied(skilled, centre, scale, some, rank_of)
        assert np.mean(1 / best(ranks)) > np.mean(1 / best(found)) + 0.05


def test_steps_that_agree_have_no_noise() -> None:
    from sequential.ceiling import copied, scale_of

    states, noise = parts()[0][:1].expand(3, -1, -1), torch.randn(3, 200, 8)
    ranks = np.stack([rank_of(one) for one in states])
    assert scale_of(states, ranks, states[0], noise, rank_of) == 0
    assert (copied(states, states[0], 0.0, noise, rank_of) == ranks).all()


def test_numbers_are_written_as_papers_do() -> None:
    from sequential.tables import estimate, number, p_value, signed

    from testbed.statistics import Interval

    assert [number(value) for value in (0.0571, 1.0, 0.99996)] == [".0571", "1.0000", "1.0000"]
    assert estimate(Interval(0.1, 0.05, 0.2)) == ".1000 [.0500, .2000]"
    assert signed(Interval(-0.001, -0.002, 0.00001)) == "−.0010 [−.0020, +.0000]"
    assert (p_value(0.0001), p_value(0.02)) == ("< .001", ".020")


def run(folder: Path, *more: str) -> None:
    from rearec import main

    options = ("width=8", "heads=1", "inner=8", "length=6", "epochs=2", "reasoning_epochs=2", "dropout=0")
    given = [str(folder / "tiny"), "--out", str(folder / "out"), "--seeds", "0,1", "--rounds", "2", *more]
    main([*given, *(part for one in options for part in ("--set", one))])


@pytest.mark.slow
def test_a_whole_run_goes_on_and_says_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from engine.log import Log
    from sequential.plots import draw
    from sequential.recipes import NAMES
    from sequential.results import Results
    from sequential.tables import publish

    data(tmp_path / "tiny")
    run(tmp_path, "--seeds", "0", "--variants", "base,prl", "--only", "train")
    run(tmp_path)
    shown = capsys.readouterr().out
    log = Log(tmp_path / "out" / "log.jsonl")
    entries = dict(log.entries)
    for name in NAMES.values():
        assert f"| {name} (2 seeds) |" in shown
    found = Results(log, "tiny")
    assert found.common("base", "prl") == (0, 1)
    assert found.ranks("prl", "steps").shape == (2, 3, 60)
    assert (found.ranks("prl") == found.ranks("prl", "steps")[:, 2]).all()
    assert (found.ranks("base", "kept") >= found.ranks("base")).all()
    top = found.ceiling("erl")
    assert (top["best"] >= top["one"]).all()
    assert (top["null"] >= top["one"]).all()
    assert [entry["failed"] for entry in found.floors.values() if "failed" in entry] == []
    run(tmp_path, "--only", "train,measure")
    again = Log(tmp_path / "out" / "log.jsonl")
    assert again.entries == entries
    assert len(draw(again, tmp_path / "plots")) == 3
    page = tmp_path / "rearec.md"
    page.write_text("a\n<!-- begin tiny quality -->\nold\n<!-- end tiny quality -->\nb\n")
    left = publish(again, tmp_path)
    assert "| PRL (2 seeds) |" in page.read_text()
    assert "old" not in page.read_text()
    assert left == [
        f"tiny {name}" for name in ("history kept", "steps", "ceiling", "groups", "trainings", "latency")
    ]
    page.write_text("<!-- begin tiny quality -->")
    with pytest.raises(UserError, match=r"rearec\.md: there must be one <!-- begin tiny quality -->"):
        publish(again, tmp_path)


def test_what_was_trained_elsewhere_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data(tmp_path / "tiny")
    run(tmp_path, "--variants", "base", "--only", "train")
    (tmp_path / "out" / "tiny" / "base").rename(tmp_path / "moved")
    (tmp_path / "out" / "log.jsonl").unlink()
    run(tmp_path, "--variants", "base", "--only", "measure", "--model", f"base={tmp_path / 'moved'}")
    assert "| base (2 seeds) |" in capsys.readouterr().out
    assert not (tmp_path / "out" / "tiny" / "base").exists()


def test_options_are_tried_on_validation_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data(tmp_path / "tiny")
    run(tmp_path, "--try", "width=6; dropout=0.1")
    shown = capsys.readouterr().out
    assert "| width 6, dropout 0.1 | 2* |" in shown
    assert "NDCG@20" not in shown


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--variants", "base,elr"), "there is no variant 'elr'; there are base, more, layers"),
        (("--seeds", "0,0"), "'0,0': expected seeds from 0 on, none twice"),
        (("--only", "trian"), "there is no part 'trian'; there are floors, train, measure, latency"),
        (("--model", "prl"), "'prl' is not VARIANT=FOLDER"),
        (("--set", "width"), "'width' is not OPTION=VALUE"),
        (("--steps", "0"), "--steps: must be at least 1"),
    ],
)
def test_wrong_arguments_have_one_message(
    given: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from rearec import arguments

    with pytest.raises(SystemExit):
        arguments(["data", *given])
    assert said in capsys.readouterr().err


def test_wrong_options_name_the_option(tmp_path: Path) -> None:
    from sequential.recipes import Plan

    with pytest.raises(UserError, match=r"option widht: Extra inputs are not permitted"):
        Plan(tmp_path, tmp_path, given={"widht": 3}).trainer("base")
