"""Do 95 % intervals cover in 95 % of simulated experiments?

    python benchmarks/interval_coverage.py [--experiments 2000] [--seed 0]

An experiment has targets, attack seeds within targets, and requests and orders crossed with both. A target
is first when a latent score exceeds 0; the score has a normal random effect for every factor and interaction
in `Effects`, and the attack adds a shift that differs by target, seed and request. The true lift follows in
closed form from the normal distribution, so each interval can be checked against it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from testbed.seeds import rng_for
from testbed.statistics import Cells, Intervals, distribution, generalises, weights

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
BOUNDS = (-1.0, 1.0)


@dataclass(frozen=True)
class Effects:
    """Standard deviations of the random effects on the latent score, and the fixed levels."""

    clean: float = -1.3
    attack: float = 0.6
    target: float = 0.6
    target_gain: float = 0.5
    seed: float = 0.6
    request: float = 0.5
    target_request: float = 0.4
    request_gain: float = 0.4
    seed_request: float = 0.3
    order: float = 0.2
    target_order: float = 0.3
    request_order: float = 0.2
    residual: float = 0.8


@dataclass(frozen=True)
class Design:
    """How many units, and what the truth is about: new seeds of these targets, these texts, new targets."""

    targets: int
    seeds: int
    requests: int
    orders: int
    about: str = "new seeds"


NONE = dict.fromkeys(
    ("target", "target_gain", "seed", "request", "target_request", "request_gain"), 0.0
) | dict.fromkeys(("seed_request", "order", "target_order", "request_order"), 0.0)
WORLDS: dict[str, Effects] = {
    "usual": Effects(),
    "no effect": Effects(attack=-1.3, target_gain=0),
    "near the ceiling": Effects(clean=-2.5, attack=2.5),
    "rare": Effects(clean=-3, attack=-2.5),
    "seeds differ much": Effects(seed=1.2),
    "requests differ much": Effects(request=1, target_request=0.8, request_gain=0.8),
    "orders differ much": Effects(order=0.6, target_order=0.6, request_order=0.6),
    "nothing clusters": replace(Effects(residual=1), **NONE),
}
DESIGNS = (
    Design(1, 1, 5, 20, "these texts"),
    Design(2, 1, 5, 20, "these texts"),
    Design(1, 2, 5, 20),
    Design(1, 3, 5, 20),
    Design(2, 2, 5, 20),
    Design(2, 3, 5, 20),
    Design(2, 3, 2, 20),
    Design(3, 2, 5, 20, "new targets"),
    Design(6, 2, 5, 20, "new targets"),
)


def simulate(effects: Effects, design: Design, rng: np.random.Generator) -> tuple[Cells, float]:
    """One experiment: lift per (target × seed, request, order), and the true lift that it is about."""
    t, s, q, o = design.targets, design.seeds, design.requests, design.orders
    normal = rng.standard_normal
    level, gain = effects.target * normal(t), effects.target_gain * normal(t)
    text = effects.seed * normal((t, s))
    base = (
        level[:, None, None]
        + effects.request * normal((1, q, 1))
        + effects.target_request * normal((t, q, 1))
        + effects.order * normal((1, 1, o))
        + effects.target_order * normal((t, 1, o))
        + effects.request_order * normal((t, q, o))
    )
    before = effects.clean + base + effects.residual * normal((t, q, o)) > 0
    shift = gain[:, None, None, None] + text[:, :, None, None] + effects.request_gain * normal((t, 1, q, 1))
    shift = shift + effects.seed_request * normal((t, s, q, 1))
    after = effects.attack + base[:, None] + shift + effects.residual * normal((t, s, q, o)) > 0
    values = (after.astype(np.float64) - before[:, None]).reshape(t * s, q, o)
    cells = Cells(values, tuple(int(target) for target in np.repeat(np.arange(t), s)))
    return cells, _truth(effects, design, level, gain, text)


def _truth(effects: Effects, design: Design, level: Array, gain: Array, text: Array) -> float:
    shared = (effects.request, effects.target_request, effects.order, effects.target_order)
    clean = sum(part**2 for part in (*shared, effects.request_order, effects.residual))
    attacked = clean + effects.request_gain**2 + effects.seed_request**2
    if design.about == "these texts":
        after = ndtr((effects.attack + (level + gain)[:, None] + text) / np.sqrt(attacked)).mean()
        return float(after - ndtr((effects.clean + level) / np.sqrt(clean)).mean())
    attacked += effects.seed**2
    if design.about == "new seeds":
        after = ndtr((effects.attack + level + gain) / np.sqrt(attacked)).mean()
        return float(after - ndtr((effects.clean + level) / np.sqrt(clean)).mean())
    attacked += effects.target**2 + effects.target_gain**2
    clean += effects.target**2
    return float(ndtr(effects.attack / np.sqrt(attacked)) - ndtr(effects.clean / np.sqrt(clean)))


Maker = Callable[[Cells], tuple[float, float]]


def ours(rng: np.random.Generator) -> Maker:
    """The interval that tables report."""
    intervals = Intervals(lambda _: rng)

    def make(cells: Cells) -> tuple[float, float]:
        found = intervals.of(cells, BOUNDS, binary=True)
        assert found.low is not None
        assert found.high is not None
        return found.low, found.high

    return make


def percentile(rng: np.random.Generator) -> Maker:
    """The plain percentile interval of the same bootstrap, for comparison."""

    def make(cells: Cells) -> tuple[float, float]:
        _, q, o = cells.values.shape
        draws = weights(cells.targets, q, o, resample_targets="targets" in generalises(cells), rng=rng)
        low, high = np.quantile(distribution(cells, draws), [0.025, 0.975])
        return float(low), float(high)

    return make


def pairs_only(_: np.random.Generator) -> Maker:
    """The interval that takes all pairs for independent, for comparison."""

    def make(cells: Cells) -> tuple[float, float]:
        half = 1.96 * float(cells.values.std(ddof=1)) / np.sqrt(cells.n)
        return cells.estimate - half, cells.estimate + half

    return make


def coverage(
    effects: Effects,
    design: Design,
    experiments: int,
    seed: int,
    make: Callable[[np.random.Generator], Maker] = ours,
) -> tuple[float, float]:
    """(share of experiments whose interval holds the truth, mean width)."""
    rng = rng_for("coverage", seed, design.targets, design.seeds, design.requests, design.orders)
    maker = make(rng_for("resamples", seed))
    hits, width = 0, 0.0
    for _ in range(experiments):
        cells, truth = simulate(effects, design, rng)
        low, high = maker(cells)
        hits += low <= truth <= high
        width += high - low
    return hits / experiments, width / experiments


def main() -> None:
    """Prints the table of docs/measures.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("| world | T × S × Q × O | about | covers | width | percentile | independent pairs |")
    print("|---|---|---|---|---|---|---|")
    with threadpool_limits(limits=1):
        for world, effects in WORLDS.items():
            for design in DESIGNS if world == "usual" else DESIGNS[1:6:2]:
                found = [
                    coverage(effects, design, given.experiments, given.seed, make)
                    for make in (ours, percentile, pairs_only)
                ]
                size = f"{design.targets} × {design.seeds} × {design.requests} × {design.orders}"
                cells = [f"{100 * found[0][0]:.1f}", f"{found[0][1]:.2f}"]
                cells += [f"{100 * hit:.1f}" for hit, _ in found[1:]]
                print(f"| {world} | {size} | {design.about} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
