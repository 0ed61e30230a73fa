"""Parts of benchmarks/safegeo.py: SafeGEO's packages against embedded victims."""
