from __future__ import annotations

import subprocess
import sys

import pytest

from testbed.seeds import derive, rng_for, torch_generator


def test_values_are_frozen() -> None:
    """A change here changes every run that was ever recorded."""
    assert derive() == 8180073448483349959
    assert derive("r01", 7) == 11774632711145439017
    assert derive({"b": 1, "a": [None, True]}) == 18353248991147903264
    assert rng_for("x", 1).integers(0, 1000, 5).tolist() == [375, 868, 533, 995, 226]


def test_types_matter() -> None:
    assert len({derive(1), derive(1.0), derive("1"), derive(True), derive([1]), derive(1, None)}) == 6


def test_mapping_order_does_not_matter() -> None:
    assert derive({"a": 1, "b": 2}) == derive({"b": 2, "a": 1})


@pytest.mark.parametrize(("part", "error"), [(object(), TypeError), (float("nan"), ValueError)])
def test_refuses_what_has_no_canonical_form(part: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        derive(part)


def test_torch_generators_repeat() -> None:
    import torch

    first, again = torch_generator("a", 3), torch_generator("a", 3)
    assert torch.equal(torch.rand(4, generator=first), torch.rand(4, generator=again))
    assert torch_generator("a", 4).initial_seed() != first.initial_seed()


def test_import_is_light() -> None:
    code = "import sys, testbed.seeds; print('numpy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
