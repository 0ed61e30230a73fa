"""Interaction files, splits, batches, ranks, floors."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, R, nDCG

from retrievers.rearec.data import Interactions, held_out_users, leave_one_out, read, time_split
from retrievers.rearec.data.batches import batches, known_histories, windows
from retrievers.rearec.evaluation import Ranks, ranks
from retrievers.rearec.floors import ease, markov, neighbours, popularity
from testbed.errors import UserError


def some_interactions(users: int = 40, items: int = 25, seed: int = 0) -> Interactions:
    rng = np.random.default_rng(seed)
    histories = [rng.permutation(items)[: int(rng.integers(2, 20))].tolist() for _ in range(users)]
    return Interactions.of([f"u{n}" for n in range(users)], [f"i{n}" for n in range(items)], histories)


def put(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


ATOMIC = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"


def test_atomic_files_are_sorted_by_time_and_equal_times_as_written(tmp_path: Path) -> None:
    put(tmp_path, "x.inter", ATOMIC + "a\tp\t3\t5\na\tq\t3\t1\nb\tr\t3\t2\na\ts\t3\t1\n")
    put(
        tmp_path, "x.item", "item_id:token\ttitle:token_seq\tyear:token\np\tPump\t1990\ns\tSaw\t\nz\tNone\t\n"
    )
    found = read(tmp_path)
    assert found.users == ("a", "b")
    assert [found.items[row] for row in found.history(0)] == ["q", "s", "p"]
    assert found.times is not None
    assert found.times.tolist() == [1, 1, 5, 2]
    assert dict(zip(found.items, found.texts, strict=True)) == {
        "p": "Pump. 1990",
        "q": "",
        "r": "",
        "s": "Saw",
    }


def test_one_sequence_a_line(tmp_path: Path) -> None:
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
    first = read(put(tmp_path, "x.test.inter", header + "a\tp q\tr\nb\tq\tp\n"))
    (tmp_path / "y").mkdir()
    second = read(put(tmp_path / "y", "y.seq.txt", "a p q r\nb q p\n"))
    (tmp_path / "z").mkdir()
    lines = '{"user": "a", "items": ["p", "q", "r"]}\n{"user": "b", "items": ["q", "p"]}\n'
    put(tmp_path / "z", "items.jsonl", '{"id": "q", "text": "Quill"}\n')
    third = read(put(tmp_path / "z", "z.jsonl", lines))
    for found in (first, second, third):
        assert found.users == ("a", "b")
        assert [[found.items[row] for row in found.history(user)] for user in (0, 1)] == [
            ["p", "q", "r"],
            ["q", "p"],
        ]
        assert found.times is None
    assert third.texts == ("", "Quill", "")
    assert first.fingerprint == second.fingerprint != third.fingerprint


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.inter", ATOMIC + "a\tp\t3\n", ":2: expected 4 columns, got 3"),
        ("x.inter", ATOMIC + "a\tp\t3\tsoon\n", ":2: expected a time as a number, got 'soon'"),
        ("x.inter", ATOMIC + "a\tp\t3\tnan\n", ":2: expected a time as a number, got 'nan'"),
        ("x.inter", ATOMIC + "\tp\t3\t4\n", ":2: the user is empty"),
        (
            "x.inter",
            "user_id:token\titem:token\na\tb\n",
            ":1: the header has no 'item_id'; did you mean 'item'?",
        ),
        (
            "x.inter",
            "user_id:token\titem_id\na\tb\n",
            ":1: expected `name:type` in the header, got 'item_id'",
        ),
        (
            "x.inter",
            "user_id:token\titem_id:token\titem_id:float\na\tb\tc\n",
            ":1: the header has 'item_id' twice",
        ),
        ("x.inter", ATOMIC, ": holds no interactions"),
        ("x.inter", "user_id\titem_id\na\tb\n", ":1: expected `name:type` in the header, got 'user_id'"),
        (
            "x.jsonl",
            '{"user": "a", "items": ["p"], "times": [1' + "0" * 400 + "]}",
            ":1: expected a time as a number",
        ),
        (
            "x.jsonl",
            '{"user": "a", "items": ["p"], "times": [1]}\n{"user": "b", "items": ["p"]}',
            ": some users have times and some have none; give all of them or none",
        ),
        ("x.txt", "a p q\na q\n", ":2: user 'a' was there before"),
        ("x.txt", "a p q\n\nb\n", ":3: expected `user item item …`, got 'b'"),
        ("x.jsonl", '{"user": "a", "items": ["p"]}\n{', ":2: is not JSON"),
        ("x.jsonl", '{"user": "a", "item": ["p"]}', ":1: unknown key 'item'; did you mean 'items'?"),
        ("x.jsonl", '{"user": "a", "items": [null]}', ":1: expected `user` and `items`, a list of ids"),
        ("x.jsonl", '{"user": "a", "items": ["p"], "times": []}', ":1: expected as many times as items"),
    ],
)
def test_malformed_files_are_one_message_with_the_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        read(put(tmp_path, name, text))
    assert f"{tmp_path / name}{message}" in str(caught.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"a p q\n\xff\xfe p\n")
    with pytest.raises(UserError, match=r"x.txt:2: is not UTF-8"):
        read(tmp_path / "x.txt")


def test_a_missing_file_and_an_ambiguous_folder(tmp_path: Path) -> None:
    put(tmp_path, "x.inter", ATOMIC)
    with pytest.raises(UserError, match=r"no such file or folder; did you mean 'x.inter'\?"):
        read(tmp_path / "x.intre")
    put(tmp_path, "y.txt", "a p q\n")
    with pytest.raises(UserError, match=r"should hold one file of interactions .* holds x.inter, y.txt"):
        read(tmp_path)


def test_leave_one_out() -> None:
    found = leave_one_out(Interactions.of("ab", "pqrs", [[0, 1, 2, 3], [1, 2]]))
    assert found.known.tolist() == [2, 2]
    assert (found.validation.users.tolist(), found.validation.ends.tolist()) == ([0], [2])
    assert (found.validation.targets.tolist(), found.test.targets.tolist()) == ([2], [3])
    assert found.test.ends.tolist() == [3]
    with pytest.raises(UserError, match="no user has the 3 interactions"):
        leave_one_out(Interactions.of("a", "pq", [[0, 1]]))


def test_leave_one_out_warns_of_a_look_ahead() -> None:
    early = [1.0, 2.0, 3.0]
    with pytest.warns(UserWarning, match="67% of the test items are older than the newest interaction"):
        leave_one_out(Interactions.of("abc", "pq", [[0, 1, 0]] * 3, [early, early, [7, 8, 9]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        leave_one_out(Interactions.of("abc", "pq", [[0, 1, 0]] * 3, [early, [1, 7, 8], [1, 7, 8]]))


def test_a_split_by_time() -> None:
    data = Interactions.of("ab", "pqrs", [[0, 1, 2, 3], [1, 2, 3]], [[0, 1, 8, 10], [0, 5, 9.5]])
    found = time_split(data, 0.3, 0.2)
    times = data.times
    assert times is not None
    for user in range(2):
        assert (times[data.ptr[user] : data.ptr[user] + found.known[user]] < 8.5).all()
    assert found.test.ends.tolist() == [3, 2]
    with pytest.raises(UserError, match="needs timestamps"):
        time_split(some_interactions())


def test_a_split_by_users() -> None:
    histories = [[user % 5, 5, 6, 7 + user % 3] for user in range(18)] + [[1], [2, 3]]
    data = Interactions.of([f"u{n}" for n in range(20)], [f"i{n}" for n in range(10)], histories)
    found = held_out_users(data)
    assert found.known.tolist() == [4] * 16 + [0] * 4
    assert (found.validation.users.tolist(), found.validation.ends.tolist()) == ([16, 17], [3, 3])
    assert (found.test.users.tolist(), found.test.targets.tolist()) == ([19], [3])  # one item is no history
    assert {user for user, _, _ in windows(found, 5)} == set(range(16))
    counts = popularity(found)(np.array([19]), np.array([1]))[0]
    assert counts.tolist() == np.bincount(data.rows[: 4 * 16], minlength=10).tolist()
    for few in (data.users[:2], data.users[:9]):
        with pytest.raises(UserError, match="a split by users leaves nobody to measure"):
            held_out_users(Interactions.of(few, data.items, histories[-len(few) :]))


@pytest.mark.parametrize("length", [3, 50])
def test_windows_learn_every_item_that_is_known_once(length: int) -> None:
    split = leave_one_out(some_interactions())
    targets = [
        (user, place)
        for user, begin, count in windows(split, length)
        for place in range(begin + 1, begin + count)
    ]
    assert sorted(targets) == [(user, place) for user in range(40) for place in range(1, split.known[user])]


@pytest.mark.parametrize(("branches", "alone"), [(None, False), (2, False), (2, True)])
def test_batches_ask_for_what_comes_next(branches: int | None, alone: bool) -> None:
    split = leave_one_out(some_interactions())
    stretches = windows(split, 5)
    rng = np.random.default_rng(1)
    total = 0
    for batch in batches(split, stretches, 30, branches, rng, alone):
        known = [tuple(split.training(user)) for user in range(40)]
        asked = iter(batch.targets.tolist())
        for row, ends, wanted in zip(
            batch.histories, batch.ends.tolist(), batch.wanted.tolist(), strict=True
        ):
            for end, good in zip(ends, wanted, strict=True):
                if good:
                    run = (*row[: end + 1].tolist(), next(asked))
                    total += 1
                    assert any(run == one[at : at + len(run)] for one in known for at in range(len(one)))
        assert next(asked, None) is None
    most = int((stretches[:, 2] - 1).sum())
    assert total == most if branches is None else 0 < total <= 2 * len(stretches)


def test_known_histories_are_the_last_items() -> None:
    split = leave_one_out(some_interactions())
    users, ends = split.test.users[:5], split.test.ends[:5]
    found, last = known_histories(split, users, ends, 4)
    for row, (user, end) in enumerate(zip(users, ends, strict=True)):
        expected = split.interactions.history(user)[max(0, end - 4) : end].tolist()
        assert found[row, : last[row, 0] + 1].tolist() == expected


def test_ranks_agree_with_ir_measures() -> None:
    data = some_interactions()
    fold = leave_one_out(data).test
    scores = np.random.default_rng(5).random((40, 25)).astype(np.float32)
    found = ranks(lambda users, ends: scores[users], data, fold)
    run, judged = {}, {}
    for user, end, target in zip(fold.users, fold.ends, fold.targets, strict=True):
        known = set(data.history(user)[:end].tolist()) - {target}
        run[str(user)] = {str(item): float(scores[user, item]) for item in range(25) if item not in known}
        judged[str(user)] = {str(target): 1}
    theirs = ir_measures.calc_aggregate([nDCG @ 10, nDCG @ 20, R @ 10, R @ 20, RR], judged, run)
    summary = found.summary()
    assert summary["NDCG@10"] == pytest.approx(theirs[nDCG @ 10])
    assert summary["NDCG@20"] == pytest.approx(theirs[nDCG @ 20])
    assert summary["Recall@10"] == pytest.approx(theirs[R @ 10])
    assert summary["Recall@20"] == pytest.approx(theirs[R @ 20])
    assert float(np.mean(1 / found.ranks)) == pytest.approx(theirs[RR])


def test_history_competes_only_when_asked_for_and_ties_favour_nobody() -> None:
    data = Interactions.of(
        [str(n) for n in range(200)], [str(n) for n in range(40)], [[0, 1, 2 + n % 38] for n in range(200)]
    )
    fold = leave_one_out(data).test
    even = ranks(lambda users, ends: np.zeros((len(users), 40)), data, fold)
    assert abs(even.ranks.mean() - (38 + 1) / 2) < 1.5
    high = np.zeros((1, 40))
    high[0, :2] = 1
    assert ranks(lambda users, ends: high.repeat(len(users), 0), data, fold, history=True).ranks.min() == 3
    assert ranks(lambda users, ends: high.repeat(len(users), 0), data, fold).ranks.min() == 1


def test_scores_that_are_no_numbers_are_no_ranking() -> None:
    data = some_interactions()
    with pytest.raises(UserError, match="scores are no numbers; its training diverged"):
        ranks(lambda users, ends: np.full((len(users), 25), np.nan), data, leave_one_out(data).test)


def test_measures_of_a_rank() -> None:
    found = Ranks(np.arange(3), np.array([1, 3, 11]))
    assert found.ndcg(10).tolist() == [1, 0.5, 0]
    assert found.recall(10).tolist() == [1, 1, 0]
    assert found.ndcg(20)[2] == pytest.approx(1 / math.log2(12))


def test_floors_by_hand() -> None:
    data = Interactions.of("abc", "pqrst", [[0, 1, 2, 3], [0, 1, 4, 2], [1, 2, 0, 0]])
    split = leave_one_out(data)  # learnt from: p q, p q, q r
    users, ends = np.array([0]), np.array([2])
    assert popularity(split)(users, ends)[0].tolist() == [2, 3, 1, 0, 0]
    followed = markov(split)(users, ends)[0]  # behind q: r once
    assert followed.argmax() == 2
    assert followed[2] == pytest.approx(1 + 1 / 7)
    near = neighbours(split, 0.5)(users, ends)[0]
    assert near[2] == pytest.approx(1 / math.sqrt(3))  # cos(q, r); p and r share nobody
    assert near[0] == pytest.approx(2 / math.sqrt(6))
    assert near[3] == 0
    known = np.array([[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 0, 0]], dtype=float)
    weights = np.zeros((5, 5))
    for item in range(5):  # ridge regression of an item's column on the others, its own weight held at 0
        others = [other for other in range(5) if other != item]
        gram = known[:, others].T @ known[:, others] + 2.0 * np.eye(4)
        weights[others, item] = np.linalg.solve(gram, known[:, others].T @ known[:, item])
    assert ease(split, 2.0)(users, ends)[0] == pytest.approx(np.array([1, 1, 0, 0, 0]) @ weights)


def test_ease_is_refused_where_it_does_not_fit() -> None:
    data = Interactions.of("a", [str(n) for n in range(20_000)], [[0, 1, 2]])
    with pytest.raises(UserError, match=r"EASE on 20,000 items needs 3.0 GiB; leave it out"):
        ease(leave_one_out(data))
