"""Causal language models: loading, shared-prefix scoring, gradients, generation.

All but `load` are imported on first use: they need torch, `load` alone does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testbed.language.load import load

if TYPE_CHECKING:
    from testbed.language.layout import Row, common_prefix
    from testbed.language.model import LanguageModel, Prefix

__all__ = ["LanguageModel", "Prefix", "Row", "common_prefix", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from testbed.language import layout, model

    return getattr(model if hasattr(model, name) else layout, name)
