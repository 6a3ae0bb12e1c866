"""Compares what every store holds with the topics. See docs/verify.md."""
