"""The worked example of a sink: products, keywords and link sets in one SQLite file."""
