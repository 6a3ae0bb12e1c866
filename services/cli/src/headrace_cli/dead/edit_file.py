"""Writes letters as lines of a file, and publishes edited lines as new changes."""

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from headrace_cli.dead.edit_lines import exported, parsed
from headrace_cli.dead.edits import Edit, Refused, Taken, edits, publish_edits
from headrace_cli.errors import WRONG_CALL, CommandError
from headrace_cli.output import json_text
from headrace_letters.actions import Action
from headrace_letters.index import open_index
from headrace_letters.index_settings import IndexSettings
from headrace_letters.installed_stores import open_installed_stores
from headrace_letters.letter_reader import open_letter_reader

LINES_PER_PART = 500


@dataclass(slots=True)
class Imported:
    """The result for a file. `versions`: the version of each published id, and what follows from it. `refused`: line,
    letter and why.
    """

    published: int = 0
    unchanged: int = 0
    versions: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)


async def export(settings: IndexSettings, action: Action, output: TextIO) -> int:
    """Writes a line for each letter; returns how many. Raises Unavailable."""
    count = 0
    async with (
        open_index(settings) as index,
        open_letter_reader(settings.kafka) as reader,
        open_installed_stores() as stores,
    ):
        number = await index.begin(action)
        async for line in exported(index, reader, stores, action.selection):
            output.write(json_text(line) + "\n")
            count += 1
        await index.finish(number, count, f"{count} letters written")
    return count


async def import_file(
    settings: IndexSettings,
    file: Path,
    version: int | None,
    *,
    answer_within: float,
    dry_run: bool,
    actor: str,
    reason: str,
) -> Imported:
    """Publishes the edited lines of a file in parts. Raises Unavailable; CommandError if the file cannot be read."""
    done = Imported()
    try:
        lines = file.open("rb")
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", WRONG_CALL) from None
    with lines:
        async with open_index(settings) as index, open_installed_stores() as stores:
            numbered, taken = objects_in(lines, done), Taken()
            while part := list(islice(numbered, LINES_PER_PART)):
                results = await edits(
                    [line for _, line in part], index, stores, settings,
                    version=version, taken=taken, answer_within=answer_within,
                )  # fmt: skip
                chosen = [result for result in results if isinstance(result, Edit)]
                if not dry_run:
                    await publish_edits(chosen, index, settings, actor=actor, reason=reason)
                done.published += len(chosen)
                done.versions += [
                    {"kind": one.kind, "id": one.id, "version": one.version, "note": one.note} for one in chosen
                ]
                for (number, _), result in zip(part, results, strict=True):
                    if isinstance(result, Refused):
                        done.refused.append({"line": number, "id": result.dead_id, "why": result.why})
                done.unchanged += len(results) - len(chosen) - sum(isinstance(one, Refused) for one in results)
    return done


def objects_in(lines: Iterable[bytes], done: Imported) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines that are JSON objects, with their numbers. `done` gets the others, except empty ones, as refused."""
    for number, line in enumerate(lines, start=1):
        if not (content := line.removeprefix(BOM_UTF8)).strip():
            continue
        # The parser refuses what could not be written again: half surrogate pairs, and hundreds of nested lists.
        if (read := parsed(content)) is not None:
            yield number, read
        else:
            done.refused.append({"line": number, "id": "", "why": "not a JSON object"})
