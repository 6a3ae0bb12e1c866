"""Records that take back a version: they keep their place among the changes, and go to the stage alone."""

from collections.abc import Iterator, Sequence

from headrace_runtime.decoder import Decoded
from headrace_schemas.forget_record import Forget
from headrace_worker.stage import Forgets, Outcome, Rejected


def in_turn(decoded: Sequence[Decoded]) -> Iterator[Sequence[Decoded]]:
    """The records in parts that are answered one after the other: a record that takes back a version is alone, after
    those before it and before those after it. Among the changes of one part only the versions count.
    """
    begin = 0
    for index, one in enumerate(decoded):
        if type(one.change) is Forget:
            if begin < index:
                yield decoded[begin:index]
            yield decoded[index : index + 1]
            begin = index + 1
    if begin < len(decoded):
        yield decoded[begin:]


async def forget(stage: object, record: Forget) -> Sequence[Outcome]:
    """The outcome of one record that takes back a version. Raises what the stage raises."""
    if isinstance(stage, Forgets):
        return [await stage.forget(record)]
    detail = "this worker cannot take back a version of an entity"
    return [Rejected("unknown_schema", detail, ("forget",), words=detail)]
