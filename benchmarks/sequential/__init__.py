"""Whether latent reasoning helps next-item models: the parts of benchmarks/rearec.py."""
