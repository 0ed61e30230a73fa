"""For authors of plug-ins: property-based checks of a class of one's own, strategies, and toy stand-ins."""

from testbed.testing.check_stage import check_stage
from testbed.testing.failures import CheckFailed

__all__ = ["CheckFailed", "check_stage"]
