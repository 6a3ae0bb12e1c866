"""Keeps Qdrant collections equal to the newest version of each entity."""
