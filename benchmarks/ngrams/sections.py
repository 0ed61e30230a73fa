"""What is measured of the two indexes, by section. Keys of the log: `<section>/<corpus>/<index>/...`."""

from __future__ import annotations

from typing import Any

from engine.client import Engine, EngineError

from ngrams.bench import Bench, named

LAYOUTS = {"with bigrams": True, "without bigrams": False}
PEER = "infini-gram"
EDITED = (1, 10, 100)
ASKED = 32
"""N-grams that infini-gram continues in a repeat, one by one: a call has it start thousands of threads."""
COMPARED = 32
"""N-grams of each depth whose counts and continuations both indexes must agree on."""


def ours(bench: Bench) -> None:
    """`build`, `steps`, `locate`, `masks`, `files` and `edits` of both layouts of our index."""
    for corpus in bench.corpora():
        for layout, bigrams in LAYOUTS.items():
            wanted = dict(_cells(bench, corpus, layout, bigrams))
            missing = {key: cell for key, cell in wanted.items() if key not in bench.log}
            build = f"build/{corpus}/{layout}"
            if not missing and build in bench.log:
                continue
            with bench.ours(corpus) as engine:
                _build(bench, engine, build, bigrams=bigrams)
                for key, (what, options) in missing.items():
                    bench.log.add(key, **engine.ask("measure", what=what, **options))
                    bench.say(key)


def _cells(bench: Bench, corpus: str, layout: str, bigrams: bool) -> Any:
    options = bench.options
    for depth in options.depths:
        for beams in options.beams:
            cell = {"depth": depth, "beams": beams, "repeats": options.repeats}
            yield f"steps/{corpus}/{layout}/{depth}/{beams}", ("steps", cell)
    yield f"locate/{corpus}/{layout}", ("locate", {"repeats": options.repeats})
    if bigrams:
        few = max(2, options.repeats // 10)
        for beams in options.beams:
            yield f"masks/{corpus}/{beams}", ("masks", {"beams": beams, "repeats": few})
        folder = str(options.folder / "files" / corpus)
        yield f"files/{corpus}", ("files", {"folder": folder, "repeats": few})
        for count in EDITED:
            yield f"edits/{corpus}/{count}", ("edits", {"count": count, "repeats": few})


def peer(bench: Bench) -> None:
    """`build`, `steps`, `locate` of infini-gram, and `agreed`: whether both say the same; or why there is nothing."""
    options = bench.options
    for corpus in bench.corpora():
        depths = sorted(options.depths, reverse=True)
        keys = {f"steps/{corpus}/{PEER}/{depth}/{ASKED}": depth for depth in depths}
        if f"agreed/{corpus}" in bench.log and all(key in bench.log for key in keys):
            continue
        try:
            with bench.peer(corpus) as engine:
                _build(bench, engine, f"build/{corpus}/{PEER}")
                for key, depth in keys.items():
                    if key not in bench.log:
                        cell = {"depth": depth, "beams": ASKED, "repeats": options.peer_repeats}
                        bench.log.add(key, **engine.ask("steps", **cell))
                        bench.say(key)
                bench.log.add(f"locate/{corpus}/{PEER}", **engine.ask("locate", rows=2000))
                bench.log.add(f"agreed/{corpus}", **_agreed(bench, corpus, engine))
        except EngineError as fault:
            bench.log.add(f"failed/{corpus}/{PEER}", failed=str(fault))
            bench.say(f"{corpus}: {fault}")


def _agreed(bench: Bench, corpus: str, engine: Engine) -> dict[str, Any]:
    """How many n-grams were compared, and on how many both indexes agree."""
    import numpy as np

    from ngrams.text import Corpus

    texts, rng = Corpus.load(bench.file(corpus)), np.random.default_rng(7)
    ngrams = [ngram for depth in bench.options.depths for ngram in texts.sample(COMPARED, depth, rng)]
    with bench.ours(corpus) as own:
        own.ask("build", bigrams=True)
        answers = [one.ask("answers", ngrams=ngrams)["answers"] for one in (own, engine)]
    same = [
        pair[0] == pair[1] for pair in zip(*(zip(*answer, strict=True) for answer in answers), strict=True)
    ]
    return {"compared": len(same), "same": sum(same)}


def growth(bench: Bench) -> None:
    """`growth/<tokens>`: build, steps at 256 beams and locate of ever longer made-up texts."""
    for size in bench.options.growth:
        key = f"growth/{size}"
        if key in bench.log:
            continue
        try:
            with bench.ours(named(size)) as engine:
                found, few = engine.ask("build", bigrams=True), max(2, bench.options.repeats // 3)
                for depth in bench.options.depths:
                    cell = {"depth": depth, "beams": max(bench.options.beams), "repeats": few}
                    found[f"steps {depth}"] = engine.ask("measure", what="steps", **cell)
                found["locate"] = engine.ask("measure", what="locate", repeats=few)
        except EngineError as fault:
            found = {"failed": str(fault)}
        bench.log.add(key, **found)
        bench.say(f"{key}: {found.get('cpu', found.get('failed'))}")


def _build(bench: Bench, engine: Engine, key: str, **options: Any) -> None:
    found = engine.ask("build", **options)
    if key not in bench.log:
        bench.log.add(key, **found)
        bench.say(f"{key}: {found['cpu']:.1f} s")
