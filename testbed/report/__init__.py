"""The report of a run: one self-contained HTML file without scripts and without network."""

from testbed.report.build import render, write_report
from testbed.report.text import plain, visible

__all__ = ["plain", "render", "visible", "write_report"]
