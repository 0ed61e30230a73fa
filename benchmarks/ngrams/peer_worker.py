"""infini-gram (Liu et al. 2024, arXiv 2401.17377) over the same tokens, in its own environment."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from engine.wire import serve

from ngrams.text import Corpus

END = 65_535
"""What infini-gram puts before every document, as `u16`."""
EXACT = 10**9
"""More occurrences than there are: continuations are counted, not estimated."""


class Worker:
    """Its calls are those of the compiled engine, without the checks that its Python class makes around them."""

    def load(self, path: str, folder: str, threads: int) -> dict[str, Any]:
        """Read a corpus."""
        self.corpus, self.folder, self.threads = Corpus.load(Path(path)), Path(folder), threads
        return {"resident": 0.0}

    def build(self) -> dict[str, Any]:
        """Write the tokens as its tokeniser would, and let its own program sort them."""
        shutil.rmtree(self.folder, ignore_errors=True)
        data = self.folder / "data"
        data.mkdir(parents=True)
        starts = self.corpus.starts[:-1]
        np.insert(self.corpus.tokens, starts, END).tofile(self.folder / "tokenized.0")
        (2 * (starts + np.arange(len(starts)))).astype(np.uint64).tofile(self.folder / "offset.0")
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        since = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "infini_gram.indexing", "--data_dir", str(data), "--save_dir", str(self.folder),
             "--cpus", str(self.threads), "--mem", "4", "--ulimit", str(limit)],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wall, after = time.perf_counter() - since, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        sizes = {
            name: (self.folder / f"{name}.0").stat().st_size for name in ("tokenized", "offset", "table")
        }
        self._open()
        found = {"tokens": len(self.corpus), "cpu": cpu, "wall": wall, "peak": after.ru_maxrss / 1024}
        return {**found, "bytes": sum(sizes.values()), "parts": sizes}

    def _open(self) -> None:
        from infini_gram.engine import InfiniGramEngine

        made = InfiniGramEngine(
            str(self.folder), eos_token_id=END - 1, vocab_size=END, token_dtype="u16", load_to_ram=True
        )
        self.engine = made.engine

    def steps(self, depth: int, beams: int, repeats: int) -> dict[str, Any]:
        """Microseconds a beam for its continuations, asked for one by one."""
        spent, width = np.zeros((2, repeats))
        for repeat in range(repeats):
            asked = self.corpus.sample(beams, depth, np.random.default_rng([1, depth, beams, repeat]))
            start = time.process_time()
            found = [self.engine.ntd(prompt_ids=one, max_support=EXACT).result_by_token_id for one in asked]
            spent[repeat] = 1e6 * (time.process_time() - start) / beams
            width[repeat] = sum(map(len, found)) / beams
        return {"us": spent.tolist(), "children": width.mean()}

    def locate(self, rows: int) -> dict[str, Any]:
        """Microseconds a row for the document of each of so many occurrences."""
        rng, spent, done = np.random.default_rng([2, 0]), 0.0, 0
        asked = [*self.corpus.sample(128, 2, rng), *self.corpus.sample(128, 3, rng)]
        for ngram in asked:
            start = time.process_time()
            ((low, high),) = self.engine.find(input_ids=ngram).segment_by_shard
            for rank in range(low, min(high, low + rows - done)):
                self.engine.get_doc_by_rank(s=0, rank=rank, max_disp_len=1)
                done += 1
            spent += time.process_time() - start
            if done >= rows:
                break
        return {"us": [1e6 * spent / done], "rows": done}

    def answers(self, ngrams: list[list[int]]) -> dict[str, Any]:
        """How often n-grams occur and how many continuations each has, the mark of a new document left out."""
        found = [self.engine.ntd(prompt_ids=ngram, max_support=EXACT) for ngram in ngrams]
        widths = [len(set(one.result_by_token_id) - {END, END - 1}) for one in found]
        return {"answers": [[one.prompt_cnt for one in found], widths]}


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    worker = Worker()
    serve({name: getattr(worker, name) for name in ("load", "build", "steps", "locate", "answers")})
