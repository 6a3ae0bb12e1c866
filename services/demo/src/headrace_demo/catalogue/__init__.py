"""A catalogue generated from a seed: products, keywords, labels (which keyword belongs to which product), changes."""
