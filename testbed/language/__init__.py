"""Causal language models: loading, shared-prefix scoring, gradients, generation.

All but `load` are imported on first use: they need torch, `load` alone does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testbed.language.load import load

if TYPE_CHECKING:
    from testbed.language.model import LanguageModel
    from testbed.language.rows import Fork, Frozen, Prefix, Row, common_prefix

__all__ = ["Fork", "Frozen", "LanguageModel", "Prefix", "Row", "common_prefix", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from testbed.language import model, rows

    return getattr(model if name == "LanguageModel" else rows, name)
