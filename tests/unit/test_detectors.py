"""Detectors: thresholds, what honest and dishonest listings get, what happens to the flagged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from plenty import Plenty

from defences.detectors.bigrams import Bigrams
from defences.detectors.conformal import Calibration, Group, needed, threshold
from defences.detectors.detector import Detector
from defences.detectors.likelihood_ratio import LikelihoodRatio
from defences.detectors.perplexity import Perplexity
from defences.detectors.schema import Schema, is_odd
from defences.detectors.tokens import PIECE, token_losses, windowed
from defences.detectors.windowed_perplexity import WindowedPerplexity
from testbed.errors import UserError
from testbed.language import Prefix, Row
from testbed.protocols import Context, Detecting, Probe
from testbed.testing import (
    ToyEnvironment,
    ToyObjective,
    ToyRanker,
    check_stage,
    tiny_language_model,
    toy_catalog,
)
from testbed.types import Listing, Situation, Slate, Target

KINDS = [Perplexity, WindowedPerplexity, LikelihoodRatio, Schema]
JUNK = 'desbs@#{}("Tor quizz\\begin}] FRANKxZq @@ ~~|~ vivoQ?;'
OPTIONS = {"calibration": (Plenty(count=100),), "own": False, "fpr": 0.05}


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> ToyEnvironment:
    return ToyEnvironment(cache=tmp_path_factory.mktemp("cache"))


def context(request: str = "cheap", target: str | None = None, slot: int | None = None) -> Context:
    catalog = toy_catalog()
    return Context(catalog.request(request), Situation(request, 0, slot), target, 0)


def test_the_threshold_is_the_order_statistic() -> None:
    scores = [float(value) for value in range(99)]
    assert threshold(scores, 0.01) == 98.0  # ⌈100 · .99⌉ = 99th smallest
    assert threshold(scores, 0.1) == 89.0
    assert threshold(scores[:98], 0.01) == math.inf
    assert threshold([3.0, 1.0, 2.0, 5.0], 0.5) == 3.0  # ⌈5 · .5⌉ = 3rd
    assert [needed(rate) for rate in (0.01, 0.05, 0.1, 0.5)] == [99, 19, 9, 1]


@pytest.mark.parametrize("fpr", [0.05, 0.2])
def test_fresh_scores_pass_at_the_stated_rate(fpr: float) -> None:
    rng = np.random.default_rng(0)
    above = [rng.normal() > threshold(rng.normal(size=59), fpr) for _ in range(4000)]
    assert abs(np.mean(above) - fpr) < 3 * math.sqrt(fpr / 4000)


def test_no_listing_has_a_part_in_its_own_threshold() -> None:
    own = Group(("a", "a", "b", "c"), (9.0, 8.0, 1.0, 2.0))
    calibration = Calibration(0.5, {"own": own})
    assert calibration.of("a") == 2.0
    assert calibration.of("b") == calibration.of() == 8.0


class NoScore(Detector):
    """No number for a listing with a certain word."""

    word: str

    def judge(self, fields: Mapping[str, str]) -> float:
        return math.nan if self.word in " ".join(fields.values()) else 0.0


def test_the_listing_without_a_score_is_named(env: ToyEnvironment) -> None:
    catalog = toy_catalog()
    word = catalog.name_of("grand")
    with pytest.raises(UserError, match=r"^NoScore gave the listing 'grand' the score nan: a suspicion is"):
        NoScore(word=word).build(catalog, env)
    with pytest.raises(
        UserError, match=r"^NoScore gave the listing '.+' of a calibration catalog the score nan"
    ):
        NoScore(word="", own=False).build(catalog, env)
    stage = NoScore(word="odd word").build(catalog, env)
    with pytest.raises(UserError, match=r"^NoScore gave the listing 'pico' the score nan"):
        stage(context(), catalog.source(Target("pico", "Description").edit("odd word")))


def test_the_highest_group_decides_and_small_groups_count_with_their_largest() -> None:
    large, other = (
        Group(tuple(map(str, range(99))), tuple(float(value) for value in range(99))),
        Group(("x",), (500.0,)),
    )
    assert Calibration(0.01, {"0": large}).of("x") == 98.0
    assert Calibration(0.01, {"0": large, "1": other}).of("x") == 500.0
    assert Calibration(0.01, {"own": other}).of("y") == math.inf


@pytest.mark.parametrize("kind", KINDS)
def test_unseen_honest_listings_pass(kind: type[Detector], env: ToyEnvironment) -> None:
    stage = kind.model_validate(OPTIONS).build(toy_catalog(), env)
    assert isinstance(stage, Detecting)
    fresh = [listing for seed in (1, 2) for listing in Plenty(count=100, seed=seed).load().source()]
    flagged = sum(one.flagged for one in stage.verdicts(fresh))
    assert flagged <= 0.05 * 200 + 3 * math.sqrt(200 * 0.05 * 0.95) + 4  # the threshold varies as well


def test_junk_is_flagged(env: ToyEnvironment) -> None:
    stage = Schema.model_validate(OPTIONS).build(toy_catalog(), env)
    assert isinstance(stage, Detecting)
    fields = Plenty(seed=3, count=1).load().fields("s3-0")
    clean, junk = (
        Listing("x", fields),
        Listing("x", {**fields, "Description": f"{fields['Description']} {JUNK}"}),
    )
    quiet, loud = stage.verdicts([clean, junk])
    assert (quiet.flagged, loud.flagged) == (False, True)
    assert loud.score > loud.threshold >= quiet.score
    assert any(word in loud.note for word in JUNK.split())


@pytest.mark.parametrize(
    ("word", "odd"),
    [
        *[
            (word, False)
            for word in ("AeroPress", "$1,299", "4-cup", "café", "Straße", "1.5L", "(new!)", "Größe:")
        ],
        *[(word, False) for word in ("rock'n'roll", "A/B", "GPS,", "–", "咖啡机", "кофе", "dB(A)", "2×4")],
        *[
            (word, True)
            for word in ("desbs@#", 'x"y{', "FRaNKxZq", "}]", "\\begin", "аbc", "vivoQ?;z|", "x" * 31)
        ],
    ],
)
def test_words_that_people_write(word: str, odd: bool) -> None:
    if word not in ("}]", "dB(A)"):
        assert is_odd(word) == odd


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("quiet \u202emachine", "Description holds U+202E"),
        ("quiet\x00 machine", "Description holds U+0000"),
        ("zero\u200bwidth", "Description holds U+200B"),
        ("cheap " * 200, "Description has 1200 characters, more than 600"),
    ],
)
def test_hidden_characters_and_length(text: str, note: str, env: ToyEnvironment) -> None:
    stage = Schema.model_validate(OPTIONS).build(toy_catalog(), env)
    assert isinstance(stage, Detecting)
    (found,) = stage.verdicts([Listing("x", {"Name": "X", "Description": text})])
    assert found.flagged
    assert note in found.note


def test_a_price_that_is_none(env: ToyEnvironment) -> None:
    stage = Schema.model_validate({**OPTIONS, "own": True}).build(toy_catalog(), env)
    assert isinstance(stage, Detecting)
    good, bad = (Listing("x", {"Name": "X", "Price": price}) for price in ("$49", "best value of all"))
    quiet, loud = stage.verdicts([good, bad])
    assert not quiet.flagged
    assert loud.flagged
    assert "Price is no number with a unit" in loud.note


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\x00",
        "咖啡机 非常好",
        "кофе машина",
        "a " * 5000,
        "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_any_text_gets_a_finite_score(kind: type[Detector], text: str, env: ToyEnvironment) -> None:
    stage = kind.model_validate(OPTIONS).build(toy_catalog(), env)
    assert isinstance(stage, Detecting)
    (found,) = stage.verdicts([Listing("x", {"Description": text})])
    assert math.isfinite(found.score)


def flags(screen: Detector, env: ToyEnvironment) -> Callable[[str], Slate]:
    """Asks a detector about the toy catalog with junk in `grand`."""
    catalog = toy_catalog()
    stage = screen.build(catalog, env)
    target = Target("grand", "Description")
    return lambda text: stage(context(target="grand"), catalog.source(target.edit(text)))


@pytest.mark.parametrize("around", [None, ToyRanker()])
def test_what_happens_to_the_flagged(around: ToyRanker | None, env: ToyEnvironment) -> None:
    options = {**OPTIONS, "over": around}
    clean = flags(Schema.model_validate(options), env)("")
    dropped = flags(Schema.model_validate({**options, "action": "drop"}), env)(JUNK)
    assert "grand" not in dropped.ids
    assert len(dropped) == 5
    assert dropped.detail == {"flagged": ["grand"]}
    demoted = flags(Schema.model_validate({**options, "action": "demote"}), env)(JUNK)
    assert demoted.ids[-1] == "grand"
    assert set(demoted.ids) == set(clean.ids)
    stripped = flags(Schema.model_validate({**options, "action": "strip"}), env)(JUNK)
    assert set(stripped.ids) == set(clean.ids)
    if around is None:
        left = next(one for one in stripped if one.item_id == "grand").fields
        assert left == {"Name": "Grand Aroma", "Price": "$900"}


def test_nothing_flagged_changes_nothing(env: ToyEnvironment) -> None:
    catalog, ranker = toy_catalog(), ToyRanker()
    around = Schema.model_validate({**OPTIONS, "over": ranker}).build(catalog, env)
    assert around(context(), catalog.source()) == ranker.build(catalog, env)(context(), catalog.source())
    alone = Schema.model_validate(OPTIONS).build(catalog, env)
    assert alone(context(), catalog.source()).listings == catalog.source().listings


def test_the_way_past_a_detector_has_a_slope(env: ToyEnvironment) -> None:
    catalog, target = toy_catalog(), Target("grand", "Description")
    slates = [catalog.source(target.edit(text)) for text in ("quiet", "quiet @#{ machine", JUNK)]
    for over in (None, ToyRanker()):
        stage = Schema.model_validate({**OPTIONS, "over": over}).build(catalog, env)
        losses, _ = stage.losses(Probe(context(target="grand"), slates), ToyObjective())  # type: ignore[attr-defined]
        assert np.isfinite(losses).all()
        assert losses[0] < losses[1] <= losses[2]
        assert losses[2] > (500 if over else 0)


def test_too_few_honest_listings_are_told(env: ToyEnvironment) -> None:
    plugin = Schema.model_validate({"calibration": (Plenty(count=4),), "fpr": 0.01})
    message = "Schema: 6 honest listings are too few for a false positive rate of 0.01, which needs 99 of one catalog"
    with pytest.warns(UserWarning, match=message):
        stage = plugin.build(replace(toy_catalog(), honest_texts=()), env)
    assert len(stage(context(), toy_catalog().source(Target("grand", "Description").edit(JUNK)))) == 6


def test_honest_listings_are_read_once_a_machine(
    env: ToyEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = Perplexity.model_validate({**OPTIONS, "own": True})
    plugin.build(toy_catalog(), env)
    read: list[int] = []
    import defences.detectors.tokens as tokens

    real = tokens.token_losses
    monkeypatch.setattr(
        tokens, "token_losses", lambda model, texts: read.append(len(texts)) or real(model, texts)
    )
    stage = plugin.build(toy_catalog(), env)
    memo = context(target="grand")
    edited = toy_catalog().source(Target("grand", "Description").edit("quiet"))
    for slate in (toy_catalog().source(), edited, edited):
        stage(memo, slate)
    assert read == [1]


def test_losses_of_long_texts_are_those_of_the_model() -> None:
    model = tiny_language_model()
    text = model.encode("cheap quiet machine " * 300)
    (found,) = token_losses(model, [text])
    (whole,) = model.log_probs(
        Prefix(), [Row((model.encode("\n")[-1], *text), (), watched=(1, len(text) + 1))]
    )[0]
    assert len(found) == len(text) > 2 * PIECE
    np.testing.assert_allclose(found[:PIECE], -whole.numpy()[:PIECE], rtol=1e-3, atol=1e-3)


def test_windows() -> None:
    assert windowed(np.array([1.0, 5.0, 3.0, 0.0]), 2) == (4.0, 1)
    assert windowed(np.array([1.0, 3.0]), 5) == (2.0, 0)
    assert windowed(np.zeros(0), 5) == (0.0, 0)


def test_bigrams_add_up_to_one() -> None:
    model = Bigrams.of([[1, 2, 1, 2, 3], [2, 2]], 7)
    for before in range(7):
        assert sum(model.probability(token, before) for token in range(7)) == pytest.approx(1)
    # c(1 2) = 2, c(1) = 2, d(1) = 1; p(2) = (4 + 3/7) / (7 + 3)
    assert model.probability(2, 1) == pytest.approx((2 + (4 + 3 / 7) / 10) / 3)
    assert model.losses([1, 2]) == pytest.approx([-math.log(model.probability(2, 1))])


@pytest.mark.parametrize(
    "plugin",
    [
        Schema.model_validate({**OPTIONS, "fpr": 0.2}),
        Schema.model_validate({**OPTIONS, "fpr": 0.2, "action": "strip", "over": ToyRanker()}),
        WindowedPerplexity.model_validate(
            {**OPTIONS, "fpr": 0.2, "action": "demote", "over": ToyRanker(k=2)}
        ),
    ],
    ids=["drop", "strip", "demote"],
)
def test_detectors_keep_what_a_stage_promises(plugin: Detector, env: ToyEnvironment) -> None:
    check_stage(plugin, env=env, examples=2)
