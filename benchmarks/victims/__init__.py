"""How well each victim recommends: the parts of benchmarks/victims.py."""
