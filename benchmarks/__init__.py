"""Ratios against raw clients, both sides in one run on one machine: `make bench`."""
