"""Quality of retrievers on requests with judgements, row by row."""
