"""Writes the JSON Schema of every record: `python -m headrace_schemas.export DIR`."""

import json
import sys
from pathlib import Path

from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_schemas.embedded import EmbeddedKeyword, EmbeddedProduct
from headrace_schemas.forget_record import Forget
from headrace_schemas.links import ProductLinks, RelinkRequest, Sweep
from headrace_schemas.pauses import Pause
from headrace_schemas.receipts import Receipts

Record = (
    type[ProductChange]
    | type[KeywordChange]
    | type[Forget]
    | type[Pause]
    | type[Receipts]
    | type[RelinkRequest]
    | type[Sweep]
    | type[ProductLinks]
)
RECORDS: dict[str, Record] = {
    model.schema_name: model
    for model in (
        ProductChange, KeywordChange, Forget, EmbeddedProduct, EmbeddedKeyword, Receipts, RelinkRequest, Sweep,
        ProductLinks, Pause,
    )
}  # fmt: skip


def json_schemas() -> dict[str, str]:
    """File name to JSON Schema text, one for each record."""
    return {f"{name}.v{model.schema_major}.schema.json": _text(model) for name, model in RECORDS.items()}


def _text(model: Record) -> str:
    return json.dumps(model.model_json_schema(), indent=2, sort_keys=True) + "\n"


def write(directory: Path) -> None:
    """Writes one file for each record into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in json_schemas().items():
        (directory / name).write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
