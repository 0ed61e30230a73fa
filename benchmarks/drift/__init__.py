"""Whether goal drift moves before the rank does, step by step of an attack."""
