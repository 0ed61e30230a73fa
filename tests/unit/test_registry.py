from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from scenario_plugins import Gcg, registry

from testbed import registry as installed
from testbed.errors import PluginError, UnknownNameError
from testbed.protocols import AttackPlugin
from testbed.registry import Entry, Registry, refuse_shadow


def test_installed_names_need_no_import() -> None:
    code = (
        "import sys; from testbed import registry; assert 'gcg' in registry.names('attacks'); "
        "print([name for name in sys.modules if name.split('.')[0] in "
        "('attacks', 'retrievers', 'catalogs', 'torch', 'numpy')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names_are_sorted_and_by_kind() -> None:
    assert registry().names("stages") == ["bm25", "fuse", "llm", "vote"]
    assert registry().names("trainers") == []


def test_get_imports_the_class() -> None:
    assert issubclass(installed.get("attacks", "gcg"), AttackPlugin)
    assert registry().get("attacks", "gcg") is Gcg


def test_unknown_name() -> None:
    with pytest.raises(UnknownNameError) as caught:
        registry().get("stages", "lllm")
    assert str(caught.value) == "unknown stage 'lllm' (known: bm25, fuse, llm, vote); did you mean 'llm'?"
    assert caught.value.exit_code == 2


def test_unknown_kind() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown kind of plug-in 'stage' \(known: stages, attacks"):
        registry().names("stage")


def test_two_distributions_claim_a_name() -> None:
    both = Registry([Entry("attacks", "gcg", "a:A", "alpha"), Entry("attacks", "gcg", "b:B", "beta")])
    assert both.names("attacks") == ["gcg"]
    with pytest.raises(PluginError) as caught:
        both.get("attacks", "gcg")
    assert str(caught.value) == (
        "the attack 'gcg' is registered twice, by alpha (a:A) and beta (b:B); uninstall one of the two"
    )


def test_the_same_entry_seen_twice_is_one() -> None:
    entry = Entry("attacks", "gcg", "scenario_plugins:Gcg", "alpha")
    assert Registry([entry, entry]).get("attacks", "gcg") is Gcg


def test_import_failure_names_distribution_and_exception() -> None:
    broken = Registry([Entry("stages", "seal", "no_such_module.seal:Seal", "seal-stages")])
    with pytest.raises(PluginError) as caught:
        broken.get("stages", "seal")
    assert str(caught.value) == (
        "the stage 'seal' of seal-stages cannot be imported from no_such_module.seal:Seal: "
        "ModuleNotFoundError: No module named 'no_such_module'"
    )


def test_an_exit_during_import_is_a_failure_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quitting_plugin.py").write_text("raise SystemExit(0)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match="of rude cannot be imported from quitting_plugin:X: SystemExit: 0"):
        Registry([Entry("stages", "x", "quitting_plugin:X", "rude")]).get("stages", "x")


def test_missing_attribute() -> None:
    with pytest.raises(
        PluginError, match="AttributeError: module 'scenario_plugins' has no attribute 'Nope'"
    ):
        Registry([Entry("stages", "x", "scenario_plugins:Nope", "d")]).get("stages", "x")


def test_class_of_another_kind() -> None:
    with pytest.raises(PluginError) as caught:
        Registry([Entry("stages", "gcg", "scenario_plugins:Gcg", "d")]).get("stages", "gcg")
    assert str(caught.value) == (
        "the stage 'gcg' of d is no StagePlugin: scenario_plugins:Gcg must be a subclass of "
        "testbed.protocols.StagePlugin"
    )


def test_extended_replaces_namesakes_and_leaves_the_first_alone() -> None:
    class Mine(AttackPlugin):
        """Mine."""

    first = registry()
    second = first.extended(attacks={"gcg": Mine})
    assert second.get("attacks", "gcg") is Mine
    assert second.name_of("attacks", Mine) == "gcg"
    assert first.get("attacks", "gcg") is Gcg


def test_a_folder_in_the_working_directory_hides_a_plugin_package(tmp_path: Path) -> None:
    (tmp_path / "attacks").mkdir()
    (tmp_path / "attacks" / "__init__.py").write_text("")
    (tmp_path / "attacks" / "gcg.py").write_text("class GCG: pass")
    code = (
        "from testbed import registry\n"
        "try: registry.get('attacks', 'gcg')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(
        f"PluginError the package 'attacks' of ranking-testbed is hidden by {tmp_path / 'attacks'}, which Python "
        "finds first; rename that or run from another directory (ours is "
    )


def test_no_shadow_where_the_package_is_at_home() -> None:
    import testbed

    assert testbed.__file__ is not None
    refuse_shadow("testbed", Path(testbed.__file__).resolve().parent.parent)
