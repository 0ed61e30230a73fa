"""A folder of texts that worked once, with where they come from, and whether they still do."""

from testbed.frozen.adding import add
from testbed.frozen.entry import Effect, Entry, read_folder
from testbed.frozen.verifying import Verified, verify

__all__ = ["Effect", "Entry", "Verified", "add", "read_folder", "verify"]
