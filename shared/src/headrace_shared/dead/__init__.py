"""Dead letters: what they say, an index of them in PostgreSQL, and their bytes from the topics they lie in."""
