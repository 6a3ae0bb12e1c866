"""Compares Headrace with raw clients, both in one run on one machine: `make bench`."""
