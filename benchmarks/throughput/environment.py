"""The peer's virtual environment."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from engine.client import EngineError

REQUIREMENTS = ("torch==2.13.0", "rectools[torch]==0.19.0")


def peer_python(folder: Path) -> Path:
    """The interpreter of RecTools' environment, which is made on first use; EngineError where that fails."""
    place = folder / "peer"
    python = place / "bin" / "python"
    if not (place / "ready").is_file():
        print("making RecTools' environment", file=sys.stderr)
        venv.create(place, with_pip=True, clear=True)
        try:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
        except subprocess.CalledProcessError as fault:
            raise EngineError(f"RecTools cannot be installed: {fault}") from fault
        (place / "ready").touch()
    return python
