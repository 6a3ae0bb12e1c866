"""The worker that keeps an index of all dead letters in PostgreSQL."""
