"""Virtual environments of peers, each with packages of its own."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from engine.client import EngineError


def python_with(folder: Path, name: str, packages: Sequence[str]) -> Path:
    """The interpreter of a peer's environment, which is made on first use; EngineError where that fails."""
    python = folder / "bin" / "python"
    if not (folder / "ready").is_file():
        print(f"making {name}'s environment (minutes)", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        try:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        except subprocess.CalledProcessError as fault:
            raise EngineError(f"{name} cannot be installed: {fault}") from fault
        (folder / "ready").touch()
    return python
