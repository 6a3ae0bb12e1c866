"""The one error of this package that a user is meant to read."""


class StackError(Exception):
    """A server cannot be started, stopped or found; the message is one line that says what to do."""
