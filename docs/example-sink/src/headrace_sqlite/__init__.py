"""The worked example of a sink: products and keywords in one SQLite file."""
