"""The JSON Schema files in the repository are those of the models."""

import json
import subprocess
import sys
from pathlib import Path

from jsonschema import Draft202012Validator

from headrace_schemas.export import RECORDS, json_schemas

CHECKED_IN = Path(__file__).parents[1] / "json"


def test_the_checked_in_schemas_are_those_of_the_models() -> None:
    checked_in = {path.name: path.read_text() for path in CHECKED_IN.iterdir()}
    assert checked_in == json_schemas(), "run: python -m headrace_schemas.export schemas/json"


def test_every_schema_is_valid_and_named_after_its_record_and_major() -> None:
    for text in json_schemas().values():
        Draft202012Validator.check_schema(json.loads(text))
    assert {name.removesuffix(".v1.schema.json") for name in json_schemas()} == set(RECORDS)


def test_the_export_command_writes_them(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "folder"
    subprocess.run([sys.executable, "-m", "headrace_schemas.export", str(directory)], check=True, timeout=30)
    assert {path.name: path.read_text() for path in directory.iterdir()} == json_schemas()
