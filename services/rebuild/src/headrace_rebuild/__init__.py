"""Builds a store again beside the one in use, and switches to it."""
