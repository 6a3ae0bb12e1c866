"""The error of this package for users."""


class StackError(Exception):
    """A server cannot be started, stopped or found; the message is one line with the action to take."""
