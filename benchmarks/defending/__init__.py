"""Parts of benchmarks/defences.py."""
