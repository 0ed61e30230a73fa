"""Defences: stages that drop, demote or rewrite listings, and stages that stand around another one.

What a defence of one's own is made of; docs/writing-a-stage.md has an example of each.
"""

from defences.change import Change
from defences.detectors.detector import Detector
from defences.detectors.judged import Judge
from defences.options import Wrapper
from defences.rewriters.rewriter import Rewriter

__all__ = ["Change", "Detector", "Judge", "Rewriter", "Wrapper"]
