"""Games of vendors: equilibria against games solved by hand, what is measured, resumed and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from testbed.commands.game import command
from testbed.errors import UserError
from testbed.game import (
    Game,
    against,
    expected,
    exploitability,
    fictitious_play,
    game_tables,
    logit,
    measure,
    nash,
    pure,
    support_enumeration,
    text,
)
from testbed.game.measured import LINES
from testbed.scenario import from_mapping
from testbed.world import build

PENNIES = (np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([[-1.0, 1.0], [1.0, -1.0]]))
SEXES = (np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 2.0]]))
PRISONERS = (np.array([[3.0, 0.0], [4.0, 1.0]]), np.array([[3.0, 4.0], [0.0, 1.0]]))
STAG = (np.array([[4.0, 0.0], [3.0, 3.0]]), np.array([[4.0, 3.0], [0.0, 3.0]]))
ROCK = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
CHOICES = np.indices((2, 2, 2))
MAJORITY = tuple((CHOICES[player] == (CHOICES.sum(0) >= 2)).astype(float) for player in range(3))
"""Three players, paid 1 for being with the majority."""


def test_expected_payoffs_by_hand() -> None:
    mixed = (np.array([0.25, 0.75]), np.array([0.5, 0.5]))
    assert against(SEXES, mixed, 0).tolist() == [1.0, 0.5]
    assert against(SEXES, mixed, 1).tolist() == [0.25, 1.5]
    assert expected(SEXES, mixed).tolist() == [0.625, 0.875]
    assert exploitability(SEXES, mixed) == pytest.approx(0.625)
    three = (np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.5, 0.5]))
    assert against(MAJORITY, three, 0).tolist() == [0.5, 1.0]
    assert against(MAJORITY, three, 2).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("game", "wanted"),
    [
        (PENNIES, [([0.5, 0.5], [0.5, 0.5])]),
        (SEXES, [([1, 0], [1, 0]), ([0, 1], [0, 1]), ([2 / 3, 1 / 3], [1 / 3, 2 / 3])]),
        (PRISONERS, [([0, 1], [0, 1])]),
        (STAG, [([1, 0], [1, 0]), ([0, 1], [0, 1]), ([0.75, 0.25], [0.75, 0.25])]),
        ((ROCK, -ROCK), [([1 / 3] * 3, [1 / 3] * 3)]),
    ],
    ids=["matching pennies", "battle of the sexes", "prisoners", "stag hunt", "rock paper scissors"],
)
def test_nash_equilibria_of_two_players(game: Any, wanted: Any) -> None:
    found = support_enumeration(*game)
    assert len(found) == len(wanted)
    for one, strategies in zip(found, wanted, strict=True):
        assert one.exploitability == pytest.approx(0, abs=1e-9)
        for own, probabilities in zip(one.strategies, strategies, strict=True):
            assert own == pytest.approx(probabilities)


def test_pure_equilibria_of_three_players() -> None:
    assert pure(MAJORITY) == [(0, 0, 0), (1, 1, 1)]
    assert [one.strategies[2].tolist() for one in nash(MAJORITY)] == [[1, 0], [0, 1]]


@pytest.mark.parametrize("temperature", [2.0, 0.5, 0.05])
def test_logit_equilibria_in_closed_form(temperature: float) -> None:
    """A prisoner gains 1 by defecting whatever the other does: probability 1 / (1 + exp(−1 / T)). Pennies stay even."""
    for own in logit(PRISONERS, temperature).strategies:
        assert own[1] == pytest.approx(1 / (1 + np.exp(-1 / temperature)))
    for own in logit(PENNIES, temperature).strategies:
        assert own == pytest.approx([0.5, 0.5])


def test_a_logit_equilibrium_answers_itself_and_nears_nash() -> None:
    """At a low temperature the principal branch of a stag hunt is the safe choice (it is risk dominant)."""
    cold = logit(STAG, 0.05)
    assert cold.strategies[0][1] > 0.999
    assert cold.exploitability < 1e-6
    for temperature in (1.0, 0.2):
        found = logit(SEXES, temperature)
        worth = against(SEXES, found.strategies, 0)
        assert np.log(found.strategies[0][0] / found.strategies[0][1]) == pytest.approx(
            (worth[0] - worth[1]) / temperature
        )
        assert found.residual < 1e-9


def test_more_noise_means_more_left_to_gain() -> None:
    rng = np.random.default_rng(0)
    games = [rng.random((3, 3, 2)) for _ in range(3)]
    found = [logit(games, temperature) for temperature in (0.01, 0.1, 10.0)]
    gains = [one.exploitability for one in found]
    assert gains == sorted(gains)
    assert all(one.residual < 1e-8 for one in found)
    assert found[-1].strategies[0] == pytest.approx([1 / 3] * 3, abs=0.02)


def test_fictitious_play_tells_how_close_it_came() -> None:
    found = fictitious_play((ROCK, -ROCK), rounds=2000)
    assert found.strategies[0] == pytest.approx([1 / 3] * 3, abs=0.05)
    assert 0 < found.exploitability < 0.1
    assert exploitability((ROCK, -ROCK), found.strategies) == found.exploitability


@pytest.mark.parametrize(
    ("payoffs", "said"),
    [
        ((np.eye(2),), "a game of 1 players needs as many tensors of one shape"),
        ((np.eye(2), np.eye(3)), "a game of 2 players needs as many tensors of one shape"),
        ((np.eye(2), np.full((2, 2), np.nan)), "a payoff is not a finite number"),
    ],
)
def test_what_is_no_game(payoffs: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        logit(payoffs, 1.0)


def test_a_temperature_is_above_zero() -> None:
    with pytest.raises(ValueError, match="temperature 0 is not above 0; a Nash equilibrium has none"):
        logit(PENNIES, 0)


def scenario(vendors: tuple[str, ...] = ("swiftbrew-go", "tundra-steep"), **more: Any) -> Any:
    return from_mapping(
        {
            "version": 1,
            "name": "vendors",
            "catalog": {"use": "coffee_machines"},
            "stack": [{"use": "bm25", "k": 10}],
            "threat": {"access": "none", "field": "Description"},
            "targets": {"items": list(vendors)},
            "optimise": {"requests": 1, "orders": 1},
            "validate": {"requests": 1, "orders": 1},
            "evaluate": {"requests": 4, "orders": 1},
            **more,
        }
    )


STUFF = "coffee machine espresso small travel cups office milk quick camping"


def strategies() -> dict[str, Any]:
    stuffed = scenario(attack={"use": "fixed_text", "text": STUFF}, measures=["nDCG@10"])
    return {"nothing": "nothing", "stuff": stuffed}


def test_a_game_on_bm25(tmp_path: Path) -> None:
    game = Game(build(scenario()), strategies())
    lines = measure(game, tmp_path)
    assert len(lines.rankings) == 4 * 4
    assert lines.texts["tundra-steep", "stuff"]["text"] == STUFF
    tables = game_tables(game, lines, temperatures=(0.05,))
    cells = {tuple(one["profile"]): one for one in tables["profiles"]}
    ranks = [
        line["ranking"].index("swiftbrew-go") + 1
        for (profile, _, _), line in lines.rankings.items()
        if profile == ("stuff", "nothing")
    ]
    wanted = np.mean(1 / np.log2(1 + np.array(ranks)))
    assert cells["stuff", "nothing"]["payoffs"][0]["estimate"] == pytest.approx(wanted)
    assert (
        cells["stuff", "nothing"]["payoffs"][0]["estimate"]
        > cells["nothing", "nothing"]["payoffs"][0]["estimate"]
    )
    (cold,) = tables["logit"]
    assert cold["vendors"][0]["strategies"]["stuff"] > 0.5
    first = game_tables(game, lines, payoff="first", temperatures=(0.05,))["profiles"][0]["payoffs"][0]
    assert 0 <= first["estimate"] <= 1
    report = text(tables)
    assert "| swiftbrew-go ↓, tundra-steep → | nothing | stuff |" in report
    assert (
        "In the equilibrium at temperature 0.05, compared with everybody's choosing nothing: swiftbrew-go +"
        in report
    )


def test_it_goes_on_after_a_torn_line_with_the_same_bytes(tmp_path: Path) -> None:
    game = Game(build(scenario()), strategies(), situations=2)
    measure(game, tmp_path)
    whole = (tmp_path / LINES).read_bytes()
    (tmp_path / LINES).write_bytes(whole[: len(whole) // 2])
    calls = []
    measure(game, tmp_path, lambda done, total: calls.append((done, total)))
    assert (tmp_path / LINES).read_bytes() == whole
    assert calls[0][0] > 0
    assert calls[-1] == (8, 8)
    with pytest.raises(UserError, match="holds another game; choose another --out"):
        measure(Game(build(scenario()), strategies(), situations=1), tmp_path)


def test_three_vendors(tmp_path: Path) -> None:
    vendors = ("swiftbrew-go", "tundra-steep", "larkspur-twelve")
    game = Game(build(scenario(vendors)), {"nothing": "nothing", "honest": "honest"}, situations=2)
    tables = game_tables(game, measure(game, tmp_path), temperatures=(0.1,))
    assert len(tables["profiles"]) == 8
    assert "| swiftbrew-go | tundra-steep | larkspur-twelve | payoffs |" in text(tables)


@pytest.mark.parametrize(
    ("vendors", "chosen", "said"),
    [
        (("swiftbrew-go",), {"nothing": "nothing", "honest": "honest"}, "a game needs two vendors"),
        (("swiftbrew-go", "tundra-steep"), {"nothing": "nothing"}, "a game needs two strategies"),
    ],
)
def test_what_is_no_contest(vendors: Any, chosen: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Game(build(scenario(vendors)), chosen)


def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "vendors.yaml"
    file.write_text(scenario().to_yaml())
    arguments = [str(file), "--out", str(tmp_path / "out"), "--situations", "2", "--threads", "1"]
    stuff = ["--strategy", "nothing", "--strategy", f"stuff={{use: fixed_text, text: {STUFF}}}"]
    done = CliRunner().invoke(command, [*arguments, *stuff, "--temperature", "0.1", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told == json.loads((tmp_path / "out" / "tables.json").read_text())
    assert told["strategies"] == ["nothing", "stuff"]
    assert (tmp_path / "out" / "game.md").read_text().startswith("Payoff: exposure")
    for wrong, said in (
        ("attack", "the scenario has no attack"),
        ("x", "expected nothing, honest, attack or NAME="),
        ("nothing={use: rewrite}", "the name nothing is taken; give the attack another one"),
        (
            "mine={use: rewrit}",
            "--strategy mine={use: rewrit}: attack.use: unknown attack 'rewrit'; did you mean",
        ),
    ):
        broken = CliRunner().invoke(command, [*arguments, "--strategy", wrong])
        assert said in str(broken.exception)
