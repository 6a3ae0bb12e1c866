"""Watches the lag and the health of the workers."""
