"""Fine-tuning of a language model into a recommender: training catalogs, low-rank adapters, the loop."""
