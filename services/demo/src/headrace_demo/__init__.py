"""The demo: a generated catalogue, followed into every store."""
