"""The packaged model behind real servers ranks as it does in this process."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from retrievers.endpoint import EndpointRecommender
from retrievers.llm import LanguageModelRecommender
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.errors import StopRun
from testbed.language import LanguageModel, Prefix, Row
from testbed.protocols import Context
from testbed.registry import installed
from testbed.types import Situation

MODEL = "smollm2-135m"
pytestmark = pytest.mark.slow


def coffee() -> Catalog:
    plugin = installed().get("catalogs", "coffee_machines")()
    return plugin.load()  # type: ignore[attr-defined, no-any-return]


def context_of(catalog: Catalog, order: int, request: int) -> Context:
    wish = catalog.requests[request]
    return Context(wish, Situation(wish.id, order), None, 1, {})


def environment(cache: Path | None = None) -> Environment:
    return (
        Environment(device="cpu", dtype="float32")
        if cache is None
        else Environment("cpu", "float32", cache=cache)
    )


@contextmanager
def transformers_serve(folder: Path) -> Iterator[str]:
    """`transformers serve` with a model folder, on a free port; skipped where its packages are missing."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    pytest.importorskip("openai")
    command = shutil.which("transformers", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("there is no transformers command")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    args = [command, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    surroundings = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        [*args, "--dtype", "float32"], env=surroundings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(600):
            try:
                opener.open(f"http://127.0.0.1:{port}/health", timeout=1).read()
                break
            except OSError:
                if server.poll() is not None:
                    pytest.fail(f"transformers serve ended with {server.returncode}")
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(timeout=30)


def test_transformers_serve_ranks_as_the_model_does_here(tmp_path: Path) -> None:
    from testbed.language.packaged import path

    local_models = environment()
    folder = path(MODEL, local_models.cache)
    catalog = coffee()
    with transformers_serve(folder) as url:
        for api, served, local in (
            ("completions", {"tokenizer": str(folder)}, {}),
            ("chat", {}, {"opening": ""}),
        ):
            shared = {"max_new_tokens": 30}
            options = {
                "model": str(folder),
                "base_url": url,
                "api": api,
                "api_key_env": "",
                **shared,
                **served,
            }
            there = EndpointRecommender.model_validate(options).build(catalog, environment(tmp_path))
            plugin = LanguageModelRecommender.model_validate(
                {"model": MODEL, "reading": "generate", **shared, **local}
            )
            here = plugin.build(catalog, local_models)
            context = context_of(catalog, 1, 1)
            ranked, expected = there(context, catalog.source()), here(context, catalog.source())
            assert expected.ids, "the request was chosen so that something is named"
            assert ranked.ids == expected.ids
            assert ranked.status == expected.status
            assert ranked.usage.tokens == expected.usage.tokens
        scoring = EndpointRecommender.model_validate(
            {**options, "api": "completions", "reading": "likelihood", "retries": 0}
        )
        with pytest.raises(StopRun):  # it knows no echo and says so
            scoring.build(catalog, environment(tmp_path))(context, catalog.source())


def echoing(model: LanguageModel, body: dict[str, Any]) -> dict[str, Any]:
    """What servers answer that know `echo` with `logprobs`: the prompt's tokens, their places and log-probabilities."""
    choices, given = [], 0
    for index, prompt in enumerate(body["prompt"]):
        coded = model.tokenizer(prompt, return_offsets_mapping=True, add_special_tokens=False)
        ids, spans = coded["input_ids"], coded["offset_mapping"]
        ((values,),) = model.log_probs(Prefix(), [Row((ids[0],), (tuple(ids[1:]),))])
        tokens = [prompt[begin:end] for begin, end in spans]
        choices.append(
            {
                "index": index,
                "text": prompt + " and",
                "logprobs": {
                    "tokens": [*tokens, " and"],
                    "token_logprobs": [None, *values.tolist(), -1.0],
                    "text_offset": [*(begin for begin, _ in spans), len(prompt)],
                },
            }
        )
        given += len(ids)
    return {"choices": choices, "usage": {"prompt_tokens": given, "completion_tokens": len(choices)}}


@contextmanager
def echo_server(model: LanguageModel) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Quiet."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            raw = json.dumps(echoing(model, body)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_likelihood_of_a_served_model_is_that_of_the_model_here(tmp_path: Path) -> None:
    from dataclasses import replace

    from testbed.language.packaged import path

    catalog = coffee()
    five = replace(catalog.source(), listings=tuple(catalog.source())[:5])
    here = LanguageModelRecommender(model=MODEL).build(catalog, environment())
    with echo_server(here.model) as url:
        options = {
            "model": MODEL,
            "base_url": url,
            "api": "completions",
            "reading": "likelihood",
            "concurrency": 1,
        }
        tokenizer = str(path(MODEL, environment().cache))
        there = EndpointRecommender.model_validate({**options, "tokenizer": tokenizer}).build(
            catalog, environment(tmp_path)
        )
        for order in (1,):
            context = context_of(catalog, order, order)
            expected, ranked = here(context, five), there(context, five)
            assert ranked.ids == expected.ids
            assert [one.score for one in ranked] == pytest.approx([one.score for one in expected], abs=2e-3)
