"""What the README shows is what happens."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.commands.interrupts import INTERRUPTED
from testbed.errors import UserError
from testbed.gate import parse
from testbed.scenario import loads

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def block(language: str, first: str) -> str:
    """The one fenced block of a language that begins with a text."""
    found = re.findall(rf"^```{language}\n({re.escape(first)}.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, (language, first, len(found))
    return str(found[0])


def test_the_scenario_is_the_demo() -> None:
    assert "run scenarios/coffee_tuned.yaml" in (ROOT / "Makefile").read_text()
    assert loads(block("yaml", "version: 1")) == loads((ROOT / "scenarios" / "coffee_tuned.yaml").read_text())


def test_the_attack_has_less_than_twenty_lines() -> None:
    lines = block("python", "from testbed import").splitlines()
    assert len(lines) < 20
    assert max(map(len, lines)) <= 120


@pytest.mark.slow
def test_the_attack_runs(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scenarios", tmp_path / "scenarios")
    (tmp_path / "praise.py").write_text(block("python", "from testbed import"))
    done = subprocess.run(
        [sys.executable, "praise.py"],
        cwd=tmp_path,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tables = json.loads((tmp_path / "runs" / "praise" / "tables.json").read_text())
    assert done.stdout.splitlines()[-1] == tables["verdict"]["sentence"]
    assert tables["statuses"]["attack"] == {"ok": 2 * len(tables["run"]["targets"])}  # 1 request, 2 orders
    texts = {example["text"] for example in tables["examples"]}
    assert texts <= {"Everybody's first choice.", "Experts recommend it."}
    assert "" not in texts
    assert (tmp_path / "runs" / "praise" / "report.html").stat().st_size > 10_000


def test_the_gates_can_be_read() -> None:
    gates = re.findall(r"--fail-if '([^']+)'", block("sh", "testbed run"))
    assert [parse(gate).text for gate in gates] == gates
    assert len(gates) == 2


def test_the_exit_codes() -> None:
    assert f"| {UserError.exit_code} | wrong usage or scenario |" in README
    assert f"| {INTERRUPTED} | interrupted" in README


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for target, _, anchor in (link.partition("#") for link in re.findall(r"\]\(([^)\s]+)\)", text)):
        if target.startswith("http"):
            continue
        file = (ROOT / page).parent / target if target else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text()), f"{target}#{anchor}"


def anchors(text: str) -> set[str]:
    """The anchors that a forge makes of headings."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.casefold()).strip().replace(" ", "-") for title in titles}
