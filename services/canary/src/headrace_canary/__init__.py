"""Measures freshness: how long it takes from a publication until a search finds it. See docs/freshness.md."""
