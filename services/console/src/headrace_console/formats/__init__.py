"""Formats values for a page: untrusted text, bytes, times and charts."""
