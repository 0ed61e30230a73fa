"""The benchmark of attacks on histories and training: figures by hand, a whole small run, and no text without text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from engine.log import Log
from pollution import bench, models, tables
from pollution.models import Attacked
from pollution.plots import draw
from pollution.ranking import Seen, effect, kept, seen
from pollution.steps import Steps, amplification, relative, scores_of, states_of, steps, turning
from rearec_attacks import main

from retrievers.rearec.data import Interactions, leave_one_out
from retrievers.rearec.data.batches import known_histories
from retrievers.rearec.model import ModelOptions, SequentialModel


def model_of(items: str = "id", steps: int = 2, count: int = 12, **more: Any) -> Attacked:
    options = ModelOptions(items=items, steps=steps, width=8, inner=8, length=5, dropout=0.0, **more)  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(3)
        model = SequentialModel(options, count, torch.randn(count, 6) if items == "text" else None).eval()
        return Attacked("m", model, model.items.table(), "last")


def test_ranks_leave_genuine_histories_out_and_keep_what_was_held_out() -> None:
    split = leave_one_out(Interactions.of(["a", "b"], [f"i{n}" for n in range(12)], [[0, 1, 2], [1, 3, 0]]))
    # test histories: [0, 1] then 2, and [1, 3] then 0
    scores = np.zeros((2, 12))
    scores[:, :5] = [[9, 8, 1, 3, 2], [5, 9, 4, 9, 4.5]]
    found = seen(scores, split, np.array([0, 1]), [3, 0])
    assert found.ranks.tolist() == [[1, 0], [0, 1]]
    assert found.held.tolist() == [3, 1]
    assert found.top[0][:3].tolist() == [3, 4, 2]


def test_what_an_attack_changes_by_hand() -> None:
    top = np.arange(10)[None].repeat(2, 0)
    clean = Seen(np.array([[20, 0]]), np.array([1, 50]), top)
    attacked = Seen(np.array([[3, 0]]), np.array([2, 50]), np.stack([top[0] + 5, top[1]]))
    found = effect(clean, [attacked])
    np.testing.assert_allclose(found.hit(found.before), [[0, np.nan]])
    np.testing.assert_allclose(found.hit(found.after), [[1, np.nan]])
    np.testing.assert_allclose(found.exposure(found.after), [[0.5, np.nan]])  # 1 / log2(4)
    np.testing.assert_allclose(found.shift, [[17, np.nan]])
    np.testing.assert_allclose(found.damage, [[1 / np.log2(3) - 1, 0]])
    np.testing.assert_allclose(found.kept, [[0.5, 1]])
    assert found.quality[0] - found.quality[1] == pytest.approx((1 - 1 / np.log2(3)) / 2)
    assert not found.nothing
    assert effect(clean, [clean]).nothing
    assert kept(np.array([[1, 2]]), np.array([[2, 3]])).tolist() == [0.5]


def test_one_world_for_all_targets_or_one_for_each() -> None:
    top = np.zeros((2, 10), dtype=np.int64)
    clean = Seen(np.array([[1, 2], [3, 4]]), np.array([1, 1]), top)
    together = effect(clean, [Seen(np.array([[5, 6], [7, 8]]), np.array([2, 2]), top)])
    own = [Seen(np.array([ranks]), np.array([held, held]), top) for ranks, held in (([5, 6], 2), ([7, 8], 3))]
    apart = effect(clean, own)
    assert together.after.tolist() == apart.after.tolist() == [[5, 6], [7, 8]]
    assert together.held_after.tolist() == [[2, 2], [2, 2]]
    assert apart.held_after.tolist() == [[2, 2], [3, 3]]
    assert apart.of(np.array([1]), np.array([0])).held_after.tolist() == [[3]]


def test_amplification_by_hand() -> None:
    found = Steps(
        moved=np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 1.0]]),
        apart=np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]),
        turned=np.array([[0.1, 0.2, 0.0], [0.3, 0.1, 0.1]]),
        gained=np.zeros((2, 3)), before=np.ones((2, 3)), after=np.ones((2, 3)),
    )  # fmt: skip
    np.testing.assert_allclose(np.exp(amplification(found)[1]), [2, 0.5, np.nan])
    np.testing.assert_allclose(np.exp(relative(found)[1]), [1, 0.25, np.nan])
    np.testing.assert_allclose(np.exp(turning(found)[1]), [3, 0.5, np.nan])
    assert np.isnan(amplification(found)[0, 2])


def test_states_are_those_of_the_scorer_whatever_is_read_together() -> None:
    attacked = model_of()
    histories = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10, 1], [2, 3]]
    found = states_of(attacked, histories)
    assert found.shape == (3, 4, 8)
    for row, history in enumerate(histories):
        torch.testing.assert_close(found[:, row : row + 1], states_of(attacked, [history]))
    split = leave_one_out(Interactions.of(["u"], [f"i{n}" for n in range(12)], [[5, 6, 7, 8, 9, 10, 1, 0]]))
    seen_by, last = known_histories(split, np.array([0]), np.array([7]), 5)
    own = attacked.model.states(attacked.table, seen_by, last)[:, 0, 0]
    torch.testing.assert_close(found[:, 2], own)


def test_steps_tell_distance_turn_and_what_the_target_gains() -> None:
    attacked = model_of()
    clean, moved = states_of(attacked, [[1, 2, 3]]), states_of(attacked, [[1, 2, 3, 7]])
    found = steps(attacked, clean, moved, 7)
    for step in range(3):
        a, b = clean[step, 0], moved[step, 0]
        assert found.moved[step, 0] == pytest.approx(float((b - a).norm()), rel=1e-5)
        assert found.apart[step, 0] == 0  # nobody else is there
        turned = 1 - float(torch.nn.functional.cosine_similarity(a, b, dim=0))
        assert found.turned[step, 0] == pytest.approx(turned, abs=1e-6)
        with torch.no_grad():
            logs = [attacked.model.scores(one[None], attacked.table)[0].log_softmax(-1)[7] for one in (a, b)]
        assert found.gained[step, 0] == pytest.approx(float(logs[1] - logs[0]), abs=1e-5)
    assert (found.after >= 1).all()


def test_a_text_edit_does_exactly_nothing_to_models_of_ids() -> None:
    split = leave_one_out(
        Interactions.of(["u"], [f"i{n}" for n in range(12)], [[1, 2, 3, 4]], texts=[f"text {n}" for n in range(12)])
    )  # fmt: skip

    class Words:
        def encoder(self, name: str) -> Words:
            return self

        def encode(self, texts: list[str]) -> np.ndarray:
            return np.full((len(texts), 6), 3.0, dtype=np.float32)

    field = bench.Field(Path(), split, (7,), (0,), np.array([0]), Path(), Words())  # type: ignore[arg-type]
    for items in ("id", "text"):
        attacked = model_of(items)
        table = bench.stuffed(field, attacked, 7)
        histories = [[1, 2, 3], [7, 2]]
        clean, moved = states_of(attacked, histories), states_of(attacked, histories, table)
        found = steps(attacked, clean, moved, 7, table)
        scores = scores_of(attacked, clean), scores_of(attacked, moved, table)
        if items == "id":
            assert np.array_equal(*scores)
            assert not found.moved.any()
            assert not found.gained.any()
        else:
            assert found.gained.any()
            assert not found.moved[:, 0].any()  # the target is not in this history
            assert found.moved[:, 1].all()
            assert np.array_equal(np.delete(scores[0][0], 7), np.delete(scores[1][0], 7))


def test_items_are_put_behind_the_newest_as_the_testbed_does() -> None:
    assert bench.polluted([3, 1, 2], [7, 8]) == [3, 1, 2, 7, 8]


def test_quarters_and_labels() -> None:
    assert bench.quarters(np.arange(8)).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert bench.quarters(np.array([1, 1, 1, 1, 9])).tolist() == [0, 0, 0, 0, 3]
    assert tables.signed(tables.mean_of(np.zeros((1, 1)))) == "+0.000"
    assert tables.table(["a", "b"], [["x", "1"], ["x", "2"]]).splitlines()[2:] == ["| x | 1 |", "|  | 2 |"]
    assert tables.table(["a"], []) == "not measured yet"


def written(folder: Path, users: int = 24, items: int = 30) -> Path:
    rng = np.random.default_rng(0)
    place = folder / "shop"
    place.mkdir()
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    for user in range(users):
        chosen = rng.choice(items, size=8, replace=False)
        lines += [f"u{user}\ti{item}\t{time}" for time, item in enumerate(chosen)]
    (place / "shop.inter").write_text("\n".join(lines) + "\n")
    texts = ["item_id:token\ttitle:token_seq", *(f"i{item}\tthing number {item}" for item in range(items))]
    (place / "shop.item").write_text("\n".join(texts) + "\n")
    return place


def test_a_small_run_is_measured_once_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = {**models.SIZE, "width": 4, "inner": 4, "heads": 1, "epochs": 1, "reasoning_epochs": 1}
    monkeypatch.setattr(models, "SIZE", tiny)
    monkeypatch.setattr(models, "SMALLER", {**tiny, "layers": 1, "negatives": 8})
    given = [str(written(tmp_path)), "--folder", str(tmp_path / "log"), "--models", "id-base,id-prl"]
    given += ["--users", "10", "--threads", "1"]
    main([*given, "--parts", "pollution"])
    first = (tmp_path / "log" / "log.jsonl").read_text()
    assert len(first.splitlines()) == 2 * 4 * (len(bench.POLLUTIONS) + 1)
    main(given)
    out = capsys.readouterr().out
    assert (tmp_path / "log" / "log.jsonl").read_text().startswith(first)
    assert "| PRL, items by id | 1 × the target | 1 |" in out
    assert "| SASRec | no fakes, another seed |" in out
    assert "| Markov | random, 1% a target |" in out
    row = next(line for line in out.splitlines() if "text of 3 popular items" in line)
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[4] == cells[5] == cells[8] == "0, exactly"
    assert cells[-2] == "1.00"
    drawn = [draw(Log(tmp_path / "log" / "log.jsonl"), tmp_path / name) for name in ("a", "b")]
    assert drawn[0] is not None
    assert drawn[1] is not None
    assert drawn[0].read_bytes() == drawn[1].read_bytes()
    assert draw(Log(tmp_path / "none.jsonl"), tmp_path) is None
    whole = (tmp_path / "log" / "log.jsonl").read_text()
    main(given)
    assert (tmp_path / "log" / "log.jsonl").read_text() == whole


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--models", "id-best"], "--models: there is no 'id-best'; there are id-base"),
        (["--parts", "fake"], "--parts: there is no 'fake'; there are fakes, pollution"),
        (["--targets", "0"], "--targets: must be at least 1"),
        (["--shares", "2"], "a share is above 0 and at most 1"),
        (["--shares", "many"], "is no list of numbers"),
    ],
)
def test_wrong_options_are_refused_with_one_message(
    given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["nowhere", *given])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_data_that_is_not_there_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "gone"), "--folder", str(tmp_path / "log")])
    assert "gone: no such file or folder" in capsys.readouterr().err
