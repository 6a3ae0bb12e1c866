"""Clients of the stores that more than one worker speaks to."""
