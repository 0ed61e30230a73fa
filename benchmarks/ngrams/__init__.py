"""Measurements of SEAL's n-gram index: ours and infini-gram, and the index's part in a query."""
