"""`testbed train goals`."""
