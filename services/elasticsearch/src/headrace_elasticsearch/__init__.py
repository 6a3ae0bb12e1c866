"""Keeps Elasticsearch indices equal to the newest version of each entity."""
