"""Training and evaluating sequential models, ours and RecTools', side by side."""
