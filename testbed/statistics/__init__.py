"""Intervals, tests and power for crossed, paired experiments; pure functions of numbers."""

from testbed.statistics.bootstrap import distribution, weights
from testbed.statistics.cells import Cells, Layout
from testbed.statistics.interval import CONSTANT, Interval, Intervals, generalises, nothing_happened
from testbed.statistics.power import detectable, mcnemar_power, rates
from testbed.statistics.significance import TestResult, clopper_pearson, holm, mcnemar, sign_flip
from testbed.statistics.variance import Spread, spread

__all__ = [
    "CONSTANT",
    "Cells",
    "Interval",
    "Intervals",
    "Layout",
    "Spread",
    "TestResult",
    "clopper_pearson",
    "detectable",
    "distribution",
    "generalises",
    "holm",
    "mcnemar",
    "mcnemar_power",
    "nothing_happened",
    "rates",
    "sign_flip",
    "spread",
    "weights",
]
