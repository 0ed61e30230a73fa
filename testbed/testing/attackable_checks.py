"""Properties of stages that can be attacked by scores and gradients."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from testbed.protocols import (
    Context,
    Detecting,
    Differentiable,
    Objective,
    Priced,
    Probe,
    Proposing,
    Sampling,
    Scorable,
    Seeking,
)
from testbed.testing.failures import expect, fail
from testbed.testing.stage_checks import TOLERANCE, Subject
from testbed.types import Slate, Target


def says_the_same_again(
    subject: Subject, context: Context, slates: Sequence[Slate], objective: Objective
) -> None:
    """`losses` and `verdicts` of the same listings are the same twice."""
    stage, said = subject.stage, []
    for _ in range(2):
        losses = verdicts = None
        if isinstance(stage, Scorable):
            losses = np.asarray(stage.losses(Probe(replace(context, memo={}), slates), objective)[0]).tolist()
        if isinstance(stage, Detecting):
            verdicts = [one.score for one in stage.verdicts(tuple(slates[0]))]
        said.append((losses, verdicts))
    cause = "the stage draws from a global generator, or keeps state between calls; draw from context.seed"
    for one, two in zip(*said, strict=True):
        expect(
            one == two,
            "same key, same result",
            f"the same listing is scored differently: {one}, {two}",
            cause,
        )


def scores_variants(
    subject: Subject, context: Context, slates: Sequence[Slate], objective: Objective
) -> None:
    """`losses` is one finite number a slate that has the target, inf elsewhere, and equals one-by-one calls."""
    stage = subject.stage
    if not isinstance(stage, Scorable):
        return
    context = replace(context, memo={})
    found, usage = stage.losses(Probe(context, slates), objective)
    rule = "losses() gives one number a variant, inf where the target is missing"
    expect(
        isinstance(found, np.ndarray) and found.shape == (len(slates),) and found.dtype == np.float64,
        rule,
        f"{type(found).__name__} of shape {np.shape(found)} for {len(slates)} slates",
        "return np.ndarray (len(probe.slates),) float64",
    )
    for slate, loss in zip(slates, found, strict=True):
        there = slate.rank_of(context.target_id or "") is not None
        wrong = np.isnan(loss) or (there != bool(np.isfinite(loss)))
        expect(
            not wrong,
            rule,
            f"loss {loss} with the target {'there' if there else 'missing'}",
            "0/0, or no inf",
        )
    if isinstance(stage, Priced):
        price = sum(stage.price(context, slate) for slate in slates)
        rule = "price() is an upper bound of the tokens of a call"
        cause = "scoring reads more than a ranking call does; budgets would be overdrawn"
        expect(usage.tokens <= price, rule, f"losses() took {usage.tokens} tokens, priced at {price}", cause)
    for slate, loss in zip(slates, found, strict=True):
        (alone,), _ = stage.losses(Probe(replace(context, memo={}), [slate]), objective)
        agree = alone == loss or abs(alone - loss) <= TOLERANCE * max(1.0, abs(loss))
        rule, cause = (
            "losses() of many variants equal those of one",
            "variants share state, or padding leaks in",
        )
        expect(agree, rule, f"{loss} among {len(slates)}, {alone} alone", cause)


def grants_gradients(
    subject: Subject, context: Context, target: Target, text: str, objective: Objective
) -> None:
    """Gradients stand on the tokens that the surface reports, and their loss is the one `losses` gives."""
    stage = subject.stage
    if not isinstance(stage, Differentiable):
        return
    context = replace(context, target_id=target.item_id, memo={})
    surface = stage.surface(target)
    (tokens,) = surface.encode([text])
    rule = "gradient() is taken with respect to the tokens of the edit"
    try:
        stage.gradient(context, subject.catalog.source(), target, objective)
    except ValueError:
        pass
    else:
        fail(rule, "no ValueError for a slate without an edit", "the field's own text is taken for the edit")
    if tokens is None:
        return
    slate = subject.catalog.source(target.edit(text))
    if target.edit(text)[0].apply(subject.catalog.fields(target.item_id)) == subject.catalog.fields(
        target.item_id
    ):
        return
    found, usage = stage.gradient(context, slate, target, objective)
    cause = "surface() tokenises out of context, or the stage looks for the edit in the wrong place"
    expect(
        tuple(found.token_ids) == tuple(tokens), rule, f"{found.token_ids}; the surface says {tokens}", cause
    )
    shape = (len(tokens), len(surface.pieces))
    expect(
        tuple(found.gradient.shape) == shape and bool(found.gradient.isfinite().all()),
        "a gradient is finite, one row a token, one column a piece of the vocabulary",
        f"shape {tuple(found.gradient.shape)}, expected {shape}",
        "rows for other tokens than the edit's, or a vocabulary of another size than surface().pieces",
    )
    (loss,), _ = stage.losses(Probe(replace(context, memo={}), [slate]), objective)
    rule = "the loss of gradient() is the loss of losses()"
    near = abs(loss - found.loss) <= TOLERANCE * max(1.0, abs(loss))
    expect(near, rule, f"{found.loss} and {loss}", "one of them reads another prompt")
    expect(
        usage.gradient_calls == 1, "a gradient is booked as one gradient call", str(usage), "return the usage"
    )
    if isinstance(stage, Priced):
        price = stage.price(context, slate)
        rule, cause = (
            "price() is an upper bound of the tokens of a call",
            "a gradient reads more than a ranking call",
        )
        expect(
            usage.tokens <= price, rule, f"gradient() took {usage.tokens} tokens, priced at {price}", cause
        )


def surface_is_honest(subject: Subject, target: Target, texts: Sequence[str]) -> None:
    """What the surface accepts comes back as the same text and the same tokens."""
    if not isinstance(subject.stage, Differentiable):
        return
    surface = subject.stage.surface(target)
    tokens = surface.encode(texts)
    rule = "text that the surface accepts survives the round trip"
    expect(
        len(tokens) == len(texts),
        rule,
        f"{len(tokens)} answers to {len(texts)} texts",
        "some texts are left out",
    )
    kept = [(text, ids) for text, ids in zip(texts, tokens, strict=True) if ids is not None]
    cause = (
        "encode() must return None for text that is cut, escaped, normalised or merged when it is rendered"
    )
    for (text, ids), back in zip(kept, surface.decode([ids for _, ids in kept]), strict=True):
        expect(ids, rule, f"{text!r} has no tokens", cause)
        expect(_folded(back) == _folded(text), rule, f"{text!r} comes back as {back!r}", cause)
    pieces = surface.pieces
    for text, ids in kept:
        beyond = [token for token in ids if not 0 <= token < len(pieces)]
        expect(
            not beyond,
            "tokens are indices into `pieces`",
            f"{text!r} has {beyond}",
            "pieces lacks added tokens",
        )


def _folded(text: str) -> str:
    """A text without what a tokenizer may pass over: case, accents, blanks."""
    plain = unicodedata.normalize("NFD", text.casefold())
    return "".join(char for char in plain if not char.isspace() and unicodedata.category(char) != "Mn")


def proposes_texts_that_stand(
    subject: Subject, context: Context, target: Target, texts: Sequence[str], seed: int
) -> None:
    """Continuations are different texts that stand in place as the edit and one token more; the seed decides."""
    stage = subject.stage
    if not isinstance(stage, Proposing):
        return
    context = replace(context, target_id=target.item_id, memo={})
    catalog = subject.catalog
    missing = Slate(tuple(listing for listing in catalog.source() if listing.item_id != target.item_id))
    probe = Probe(context, [missing, *(catalog.source(target.edit(text)) for text in ("", *texts))])
    sampling = Sampling(accept=lambda text: "e" not in text)
    (lost, *found), usage = stage.continuations(probe, target, 3, seed, sampling)
    expect(
        not lost, "nothing is proposed for a slate without the target", str(lost), "another listing goes on"
    )
    again, _ = stage.continuations(Probe(replace(context, memo={}), probe.slates), target, 3, seed, sampling)
    cause = "a generator other than one made of `seed`, or state kept between calls"
    expect(again[1:] == found, "the same seed proposes the same texts", f"{found}, then {again[1:]}", cause)
    for text, row in zip(("", *texts), found, strict=True):
        proposed = [one.text for one in row]
        rule, seen = "up to `count` different, accepted texts are proposed", f"{proposed} for {text!r}"
        right = len(row) <= 3 and len(set(proposed)) == len(row) and not any("e" in one for one in proposed)
        expect(right, rule, seen, "duplicates are left in, or `count` or `sampling.accept` is not heeded")
        sure = [one.log_prob for one in row if not one.log_prob <= 0]
        expect(not sure, "log_prob is a log-probability", str(sure), "nan, or a probability or logit")
        if isinstance(stage, Differentiable):
            surface = stage.surface(target)
            old, *new = surface.encode([text, *proposed])
            for one, ids in zip(row, new, strict=True):
                grown = ids is not None and len(ids) == one.tokens and ids[:-1] == (old if text else ())
                rule = "a proposed text stands in place as the tokens of the edit and one more"
                seen = f"{one.text!r} is {ids}, {text!r} is {old}"
                expect(grown, rule, seen, "texts that are tokenised differently in place are not left out")
    if isinstance(stage, Priced):
        price = sum(stage.price(context, slate) for slate in probe.slates)
        rule, cause = (
            "price() is an upper bound of the tokens of a call",
            "a proposal reads more than a ranking",
        )
        expect(usage.tokens <= price, rule, f"took {usage.tokens} tokens, priced at {price}", cause)


def seeks_text(subject: Subject, calls: Sequence[tuple[Context, Slate]], target: Target) -> None:
    """`sought` tells different pieces of text for every call, heaviest first, whatever other calls there are."""
    stage = subject.stage
    if not isinstance(stage, Seeking):
        return
    calls = [(replace(context, target_id=target.item_id, memo={}), slate) for context, slate in calls]
    found, usage = stage.sought(calls, target)
    rule = "sought() says for every call what is looked for"
    expect(len(found) == len(calls), rule, f"{len(found)} answers to {len(calls)} calls", "calls are merged")
    for call, one in zip(calls, found, strict=True):
        texts = [piece.text for piece in one.pieces]
        bad = [text for text in texts if not text or text != " ".join(text.split()) or not text.isprintable()]
        rule = "a piece is text in whole words"
        expect(
            not bad, rule, repr(bad), "pieces that do not stand between blanks as themselves are not left out"
        )
        expect(len(set(texts)) == len(texts), "pieces are different", repr(texts), "duplicates are left in")
        weights = [piece.weight for piece in one.pieces]
        right = all(0 < weight < np.inf for weight in weights) and weights == sorted(weights, reverse=True)
        rule = "weights are positive numbers, heaviest first"
        expect(right, rule, repr(weights), "not sorted, or pieces that add nothing are not left out")
        (alone,), _ = stage.sought([call], target)
        rule = "sought() of many calls equals that of one"
        expect(alone == one, rule, f"{one} among {len(calls)}, {alone} alone", "calls share state")
    if isinstance(stage, Priced):
        price = sum(stage.price(context, slate) for context, slate in calls)
        rule, cause = "price() is an upper bound of the tokens of a call", "seeking reads more than a ranking"
        expect(usage.tokens <= price, rule, f"sought() took {usage.tokens} tokens, priced at {price}", cause)
