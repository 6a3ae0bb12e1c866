"""Publishes each change with the vector of its text."""
