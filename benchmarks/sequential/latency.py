"""Time of a prediction by number of reasoning steps, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
import torch

from retrievers.rearec.data import Split
from retrievers.rearec.model import ModelOptions, SequentialModel
from retrievers.rearec.predict import _Scorer

COUNTS = (0, 1, 2, 4, 8)
"""Numbers of steps."""
KINDS = ("padded", "padded, scored", "packed", "packed, scored")
USERS = 256
Times = dict[int, list[float]]


def measured(
    split: Split, options: ModelOptions, device: torch.device, rounds: int
) -> Iterator[tuple[str, Times]]:
    """Seconds of each round by number of steps: `padded` and `packed` histories, `scored` with the scores of all items.

    The network has the given options and weights as drawn, which take as long as trained ones. `padded`: 256 histories
    of full length. `packed`: as many real ones, of similar length together. In every round all numbers of steps
    take turns, in an order that changes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        deep = options.model_copy(update={"steps": max(COUNTS), "items": "id"})
        model = SequentialModel(deep, len(split.interactions.items)).to(device).eval()
    rng = np.random.default_rng(0)
    table = model.items.table().detach()
    full = torch.from_numpy(rng.integers(len(table), size=(USERS, options.length))).to(device)
    ends = torch.full((USERS, 1), options.length - 1, device=device)
    rows = np.sort(rng.permutation(len(split.test))[:USERS])
    users, known = split.test.users[rows], split.test.ends[rows]

    def padded(steps: int) -> torch.Tensor:
        return model.states(table, full, ends, steps=steps)[-1, :, 0]

    def packed(steps: int) -> torch.Tensor:
        return _Scorer(model, split, "last", steps, None).states(users, known)[-1]

    for name, states in (("padded", padded), ("packed", packed)):
        yield name, side_by_side(states, device, rounds)
        yield (
            f"{name}, scored",
            side_by_side(lambda steps, states=states: model.scores(states(steps), table), device, rounds),
        )


@torch.no_grad()
def side_by_side(work: Callable[[int], torch.Tensor], device: torch.device, rounds: int) -> Times:
    """Seconds of some work by number of steps, round by round; on a processor those of this process alone."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    times: Times = {count: [] for count in COUNTS}
    for number in range(-1, rounds):
        for count in turned(number):
            began = clock()
            work(count)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number >= 0:  # the round before warms up
                times[count].append(clock() - began)
    return times


def turned(number: int) -> Iterator[int]:
    """The numbers of steps, beginning with another one every round."""
    first = number % len(COUNTS)
    return iter(COUNTS[first:] + COUNTS[:first])


def ratio(times: Times, count: int) -> tuple[float, float, float]:
    """Time next to that without steps, round by round: median and quartiles."""
    found = [one / other for one, other in zip(times[count], times[0], strict=True)]
    low, high = np.quantile(found, [0.25, 0.75])
    return median(found), float(low), float(high)
