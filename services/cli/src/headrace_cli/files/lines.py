"""The lines of a text file, gzipped or not."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from headrace_cli.files.rows import BadRow, UnreadableFile

MAX_LINE_BYTES = 16 * 2**20
"""Far more than a Kafka record may have; a file without line ends is not read into memory as a whole."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_OTHER_CONTENTS = {
    b"\x1f\x8b": "gzip inside: name it {name}.gz",
    b"\xff\xfe": "UTF-16 inside: save it as UTF-8",
    b"\xfe\xff": "UTF-16 inside: save it as UTF-8",
    b"\x28\xb5\x2f\xfd": "zstd inside: unpack it first",
    b"PK\x03\x04": "a zip archive or an Excel workbook inside: unpack it, or save it as CSV",
    b"PAR1\x15": "Parquet inside: name it {stem}.parquet",
}
"""By the first bytes. No row in UTF-8 begins with them."""


class Lines:
    """Iterates over (line number from 1, line with its line end), or BadRow for a line that is too long."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size
        self.position = 0

    def __iter__(self) -> Iterator[tuple[int, bytes] | BadRow]:
        try:
            with ExitStack() as stack:
                raw = stack.enter_context(self._path.open("rb"))
                gzipped = self._path.suffix.lower() == ".gz"
                file = stack.enter_context(gzip.open(raw)) if gzipped else raw
                yield from self._lines(file, raw)
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableFile(f"{self._path}: {error}") from error

    def _lines(self, file: IO[bytes] | gzip.GzipFile, raw: IO[bytes]) -> Iterator[tuple[int, bytes] | BadRow]:
        number = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            if number % 256 == 0:
                self.position = raw.tell()
            if number == 1:
                self._check(line)
                line = line.removeprefix(_BYTE_ORDER_MARK)
            if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                    pass
                yield BadRow(number, f"is longer than {MAX_LINE_BYTES // 2**20} MiB")
            else:
                yield number, line
        self.position = self.size

    def _check(self, line: bytes) -> None:
        for start, what in _OTHER_CONTENTS.items():
            if line.startswith(start):
                shown = what.format(name=self._path.name, stem=self._path.stem)
                raise UnreadableFile(f"{self._path}: is {shown}")
