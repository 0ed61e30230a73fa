"""Fine-tuning a language model to write n-grams of the documents that answer a query."""
