"""Errors that a user can correct, each as one line with the action to take."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

NOT_DONE = 1
WRONG_CALL = 2


class CommandError(Exception):
    """A command cannot continue; the text is one line with the action to take. `status`: the command's exit status."""

    def __init__(self, line: str, status: int = NOT_DONE) -> None:
        super().__init__(line)
        self.status = status


@dataclass(frozen=True, slots=True)
class Problem:
    """The lines to print for an error, and the exit status."""

    lines: list[str]
    status: int = NOT_DONE


def explained(error: Exception) -> Problem | None:
    """The lines and the status for an error; None if it is a fault of the program, which needs its traceback."""
    # Imported only after an error, so that the process of a worker does not import them.
    from aiokafka.errors import KafkaConnectionError, KafkaError
    from pydantic_settings import SettingsError

    from headrace_cli.advice import advice, unreachable
    from headrace_cli.files.rows import UnreadableFile
    from headrace_cli.kafka_topics import TopicsDiffer
    from headrace_clients.kafka_obstacle import obstacle
    from headrace_clients.topic_reader import UnknownTopic
    from headrace_local.errors import StackError
    from headrace_worker.settings import CommonSettings
    from headrace_worker.stage import Unavailable

    match error:
        case CommandError():
            return Problem([str(error)], error.status)
        case ValidationError():
            return Problem(list(_wrong_settings(error)), WRONG_CALL)
        case StackError() | TopicsDiffer() | UnknownTopic():
            return Problem(str(error).splitlines())
        case Unavailable():
            return Problem([": ".join(filter(None, (_first_line(error), advice(error))))])
        case UnreadableFile():
            return Problem([str(error)], WRONG_CALL)
        case SettingsError():
            return Problem([f"a setting cannot be read: {error}"], WRONG_CALL)
        case KafkaConnectionError():
            kafka = CommonSettings().kafka
            # aiokafka has only written to its log why there is no connection.
            why = asyncio.run(obstacle(kafka))
            if why is not None and why.kind != "unreachable":
                return Problem([f"kafka: {why.detail}"])
            return Problem([f"no Kafka at {kafka.bootstrap_servers}: {unreachable('kafka')}"])
        case KafkaError():
            return Problem([f"Kafka answered {type(error).__name__}: {_first_line(error)}"])
    return None


def _wrong_settings(error: ValidationError) -> Iterator[str]:
    """One line for each wrong setting. The value may be a secret and is not shown."""
    for problem in error.errors(include_input=False, include_context=False, include_url=False):
        name = "HEADRACE_" + "__".join(str(step).upper() for step in problem["loc"])
        yield f"the setting {name} is wrong: {problem['msg']}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
