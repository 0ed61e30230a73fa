"""The sequential scenarios: they run, text moves a model of texts, and a model of ids not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from catalogs.shipped import Headphones
from retrievers.rearec.default import write
from retrievers.rearec.sessions import simulated
from retrievers.rearec.tuning.options import RearecTrainer
from testbed import load, run
from testbed.environment import Environment

pytestmark = pytest.mark.slow

SCENARIOS = Path(__file__).parents[2] / "scenarios"
SMALL = {"width": 8, "inner": 16, "layers": 1, "epochs": 2, "reasoning_epochs": 1, "steps": 1, "loss": "last"}
SHORT = [
    "optimise.requests=2",
    "evaluate.requests=6",
    "threat.budget.steps=3",
    "targets.items=[quillon-stage]",
    "seeds=[0]",
]


def trained(folder: Path, data: Path, items: str) -> Path:
    options = RearecTrainer(data=data, items=items, **SMALL)  # type: ignore[arg-type]
    options.train(folder, Environment(threads=1))
    return folder / "seed-0"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sessions over the headphones as a file."""
    folder = tmp_path_factory.mktemp("sessions")
    write(simulated(Headphones().load(), 150, 1), folder)
    return folder


def attacked(out: Path, *settings: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    result = run(load(SCENARIOS / "sequential_text_attack.yaml", [*SHORT, *settings]), out)
    assert not result.failed
    lines = map(json.loads, (out / "trials.jsonl").read_text("utf-8").splitlines())
    return dict(result.tables), [line for line in lines if line["key"].startswith("evaluate/test/")]


def by_request(lines: list[dict[str, Any]]) -> dict[str, dict[str, tuple[list[str], list[float]]]]:
    """Request → arm → ranking and scores."""
    found: dict[str, dict[str, tuple[list[str], list[float]]]] = {}
    for line in lines:
        found.setdefault(line["request"], {})[line["arm"]] = (line["ranking"], line["scores"])
    return found


def test_the_default_model_finds_what_comes_next(tmp_path: Path) -> None:
    """Popularity has nDCG@10 .22 there."""
    settings = ["catalog.users=60"]
    result = run(load(SCENARIOS / "sequential_ranking.yaml", settings), tmp_path / "run")
    (row,) = (row for row in result.tables["rows"] if row["measure"] == "nDCG@10")
    assert row["n"] == 60
    assert row["estimate"] > 0.3


def test_no_text_moves_a_model_of_ids(data: Path, tmp_path: Path) -> None:
    model = trained(tmp_path / "ids", data, "id")
    tables, lines = attacked(tmp_path / "run", f"stack.0.model={model}")
    arms = by_request(lines)
    assert len(arms) == 6
    for rankings in arms.values():
        assert set(rankings) == {"clean", "attack", "random_tokens", "honest_text"}
        assert len({json.dumps(found) for found in rankings.values()}) == 1  # to the last bit of every score
    texts = {example["text"] for example in tables["examples"]}
    assert texts
    assert "" not in texts
    effects = [row for row in tables["rows"] if row["against"] and row["selection"] == "mean"]
    found = {row["measure"]: row["estimate"] for row in effects if row["arm"] == "attack"}
    for name in ("lift@1", "lift@10", "exposure", "exposure@10", "promoted", "demoted", "nDCG@10", "harm"):
        assert found[name] == 0, name
    assert (found["overlap"], found["kendall"]) == (1, 1)


def test_the_same_text_moves_a_model_of_texts(data: Path, tmp_path: Path) -> None:
    model = trained(tmp_path / "texts", data, "text")
    _, lines = attacked(tmp_path / "run", f"stack.0.model={model}")
    for arm in ("attack", "random_tokens", "honest_text"):
        assert any(rankings[arm] != rankings["clean"] for rankings in by_request(lines).values()), arm


def test_a_log_is_ranked_as_in_the_training(data: Path, tmp_path: Path) -> None:
    """The model's figures on leave-one-out's test, once from its training and once through a scenario."""
    model = trained(tmp_path / "texts", data, "text")
    settings = [f"catalog.path={data}", f"stack.0.model={model}", "catalog.users=150"]
    result = run(load(SCENARIOS / "sequential_public.yaml", settings), tmp_path / "run")
    expected = json.loads((model / "figures.json").read_text("utf-8"))
    found = {row["measure"]: row["estimate"] for row in result.tables["rows"] if row["section"] == "quality"}
    assert found["R@20"] == pytest.approx(expected["Recall@20"], abs=0.01)
    assert found["nDCG@10"] == pytest.approx(expected["NDCG@10"], abs=0.01)
