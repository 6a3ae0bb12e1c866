"""Keeps PostgreSQL/pgvector tables equal to the newest version of each entity."""
