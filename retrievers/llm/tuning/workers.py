"""Training in one process or in several that average their gradients."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.multiprocessing.spawn import spawn

from retrievers.llm.tuning.training import Training
from testbed.language import load

if TYPE_CHECKING:
    from retrievers.llm.tuning.options import RecommenderTrainer
    from testbed.environment import Environment

LOG = "log.jsonl"


def train(options: RecommenderTrainer, folder: Path, env: Environment) -> None:
    """Train into `folder`; with several workers in processes of their own, beginning from the same weights."""
    folder.mkdir(parents=True, exist_ok=True)
    if options.workers == 1:
        _train(0, options, folder, env, None)
        return
    with tempfile.TemporaryDirectory() as meeting:
        spawn(_train, (options, folder, env, f"file://{meeting}/store"), nprocs=options.workers)


def _train(
    rank: int, options: RecommenderTrainer, folder: Path, env: Environment, meeting: str | None
) -> None:
    import torch.distributed as distributed

    torch.set_num_threads(env.threads or 1)
    model = load(options.model, device=env.device, dtype=env.dtype, cache=env.cache)  # its layers are replaced
    if meeting:
        distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=options.workers)
    training = Training(
        model,
        options,
        folder,
        rank=rank,
        processes=options.workers,
        combine=distributed.all_reduce if meeting else lambda vector: None,
    )
    with (folder / LOG).open("a", encoding="utf-8") as log:

        def tell(line: dict[str, Any]) -> None:
            log.write(json.dumps(line) + "\n")
            log.flush()
            if "validation" in line:
                print(
                    f"step {line['step']}: validation loss {line['validation']:.4f}",
                    file=sys.stderr,
                    flush=True,
                )

        training.run(tell)
    if meeting:
        distributed.destroy_process_group()
