"""A made-up catalogue from a seed: products, keywords, which belong together, and how they change."""
