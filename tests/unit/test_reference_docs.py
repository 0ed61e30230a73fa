"""The generated pages say what the docstrings say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from testbed.cube import load_cube

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_reference", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", ["attacks.md", "defences.md"])
def test_pages_are_fresh(generate: ModuleType, file: str) -> None:
    written = (FOLDER / file).read_text(encoding="utf-8")
    assert generate.pages()[file] == written, "run `python docs/reference/generate.py`"


def test_every_attack_and_defence_has_its_section(generate: ModuleType) -> None:
    from testbed.registry import installed

    registry = installed()
    own = [
        name
        for name in registry.names("attacks")
        if registry.entry("attacks", name).value.startswith("attacks.")
    ]
    pages = generate.pages()
    assert all(f"\n## {name}\n" in pages["attacks.md"] for name in own)
    assert "\n## schema\n" in pages["defences.md"]
    assert "\n## bm25\n" not in pages["defences.md"], "a retriever is no defence"


def test_the_guide_ends_in_a_cube_that_loads(tmp_path: Path) -> None:
    """Its blocks, one after another, are one file; a shipped catalog stands in for the reader's shop."""
    text = (FOLDER.parent / "from-question-to-scenario.md").read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))
    shop = "{use: jsonl, path: shop/items.jsonl, requests: shop/requests.jsonl}"
    assert shop in blocks
    file = tmp_path / "guide.yaml"
    file.write_text("version: 1\nname: guide\n" + blocks.replace(shop, "{use: coffee_machines}"))
    assert len(load_cube(file).cells) == 12


def test_the_example_of_a_cube_loads(tmp_path: Path) -> None:
    text = (FOLDER.parent / "cubes.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    base = (
        (FOLDER.parents[1] / "scenarios" / "cube_defences.yaml")
        .read_text(encoding="utf-8")
        .split("cube:\n")[0]
    )
    file = tmp_path / "example.yaml"
    file.write_text(base + block)
    assert len(load_cube(file).cells) == 2 * 2 * 2 * 2 - 4
