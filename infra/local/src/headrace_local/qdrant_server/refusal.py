"""Requests that are answered with an error."""


class Refusal(Exception):
    """An error reply. `message` is the text of the real server, if it has one."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def wrong_input(message: str) -> Refusal:
    return Refusal(400, f"Wrong input: {message}")


def not_found(message: str) -> Refusal:
    return Refusal(404, f"Not found: {message}")


def from_engine(error: Exception) -> Refusal:
    """The refusal for an exception of the engine, whose kinds differ only in their text."""
    message = str(error)
    if message.startswith("No point with id"):
        return not_found(f"{message} found")
    if "Shard is not initialized" in message:
        return not_found("the collection was deleted")
    if any(
        sign in message for sign in ("Vector dimension", "Not existing vector", "No range index", "failed to parse")
    ):
        return wrong_input(message)
    return Refusal(500, f"Service internal error: {message}")
