"""Headrace's stage runtime: what every worker does the same way, written once."""
