"""Goal planning on public dialogues, row by row."""
