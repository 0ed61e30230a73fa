from __future__ import annotations

import subprocess
import sys

import pytest

from testbed.errors import UserError
from testbed.measures import names, parse
from testbed.measures.names import summary


@pytest.mark.parametrize(
    "name", [*names(), "harm@3", "utility_loss@5", "top@17", "RR@5", "nDCG(dcg='log2')@3"]
)
def test_a_name_is_the_repr_and_finds_itself(name: str) -> None:
    measure = parse(name)
    assert parse(repr(measure)) is measure or parse(repr(measure)).name == measure.name
    if "(" not in name:
        assert repr(measure) == measure.name == name


def test_a_cutoff_is_told() -> None:
    assert summary("exposure") == "How much the target is seen: 1 / log2(1 + rank), 0 when unlisted."
    assert summary("exposure@5").startswith("How much the target is seen among the first 5:")
    assert summary("overlap@5") == "Share of the first 5 that are there before and after."


@pytest.mark.parametrize(("alias", "name"), [("MRR", "RR"), ("NDCG@5", "nDCG@5"), ("harm@10", "harm")])
def test_aliases_have_one_repr(alias: str, name: str) -> None:
    assert repr(parse(alias)) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lifft@1", "unknown measure 'lifft@1'; did you mean 'lift@1'?"),
        ("ndcg@5", "unknown measure 'ndcg@5'; did you mean 'nDCG@5'?"),
        ("promotd", "unknown measure 'promotd'; did you mean 'promoted'?"),
        ("margn@3", "unknown measure 'margn@3'; did you mean 'margin'?"),
        ("exposre", "unknown measure 'exposre'; did you mean 'exposure'?"),
        ("exposure@0", "exposure takes a cutoff that is a whole number from 1; did you mean 'exposure@1'?"),
        ("lift", "measure 'lift': lift takes a cutoff that is a whole number from 1; did you mean 'lift@1'?"),
        ("lift@0", "did you mean 'lift@1'?"),
        ("top@²", "did you mean 'top@1'?"),
        ("nDCG@0", "measure 'nDCG@0': a cutoff is a whole number from 1; did you mean 'nDCG@10'?"),
        ("nDCG@x", "measure 'nDCG@x': a cutoff is a whole number from 1; did you mean 'nDCG@10'?"),
        ("nDCG@1.5", "measure 'nDCG@1.5': a cutoff is a whole number from 1; did you mean 'nDCG@10'?"),
        ("P@", "measure 'P@': a cutoff is a whole number from 1; did you mean 'P@10'?"),
        ("nDCG(cutoff=0)", "measure 'nDCG(cutoff=0)': a cutoff is a whole number from 1"),
        ("nDCG(x)@3", "measure 'nDCG(x)@3': it is written NAME, NAME@10 or NAME(parameter=value)@10"),
        ("P", "measure 'P': it takes a cutoff; did you mean 'P@10'?"),
        ("alpha_nDCG@10", "ir-measures has no installed provider for it"),
        ("ERR@10", "ir-measures has no installed provider for it"),
        ("zzzzzzz", "unknown measure 'zzzzzzz'; some that exist: top@1, top@3, lift@1"),
        ("nDCG(" * 100, "the name is too long"),
        ('__import__("os")', "unknown measure '__import__(\"os\")'"),
        ("", "unknown measure ''"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(name)
    assert message in str(caught.value)


def test_import_and_parse_need_nothing_heavy() -> None:
    code = "import sys, testbed.measures as m; m.parse('nDCG@10'); print([n for n in ('torch','scipy','pandas','numpy') if n in sys.modules])"  # noqa: E501
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
