"""Training of sequential recommenders: the backbone first, then its reasoning steps."""
