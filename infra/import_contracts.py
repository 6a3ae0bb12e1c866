"""Checks the direction of imports between the packages of the source tree with import-linter.

The packages are found in the tree, so that a new one is checked too. Exit status 0: every contract is kept.
"""

import json
import sys
import tempfile
from pathlib import Path

from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]
SHARED = ["headrace_letters", "headrace_runtime", "headrace_expected", "headrace_clients", "headrace_worker"]
"""From the top to the bottom: each may import those after it."""
SCHEMAS = "headrace_schemas"
DEMO = "headrace_demo"
"""The one service that may import others, because it drives the command."""
LOCAL = "headrace_local"
EXPECTED = "headrace_expected"
FOLDERS = ("schemas", "shared/*", "infra/local", "services/*", "docs/example-sink")


def packages(*folders: str) -> list[str]:
    """The import names of the packages whose sources are in these folders (patterns below the root), sorted."""
    return sorted(
        package.name
        for pattern in folders
        for folder in ROOT.glob(f"{pattern}/src")
        for package in folder.iterdir()
        if (package / "__init__.py").exists()
    )


def configuration() -> str:
    """The contracts, in import-linter's TOML."""
    shared, services = packages("shared/*"), packages("services/*", "docs/example-sink")
    if unplaced := set(shared) ^ set(SHARED):
        raise SystemExit(f"{__file__}: give {', '.join(sorted(unplaced))} a place in SHARED, or remove it there")
    # The example and a copy of it under services/ are one package to an importer.
    siblings = [name for name in dict.fromkeys(services) if name != DEMO]
    layers = [DEMO, " | ".join(siblings), *SHARED, SCHEMAS]
    return f"""
[tool.importlinter]
root_packages = {json.dumps([*siblings, DEMO, *SHARED, SCHEMAS, LOCAL])}

[[tool.importlinter.contracts]]
name = "schemas <- shared <- services, and no service imports another"
type = "layers"
layers = {json.dumps(layers)}

[[tool.importlinter.contracts]]
name = "What is expected is computed without the product's code"
type = "forbidden"
source_modules = ["{EXPECTED}"]
forbidden_modules = {json.dumps([name for name in SHARED if name != EXPECTED])}

[[tool.importlinter.contracts]]
name = "The local servers do not import the product"
type = "forbidden"
source_modules = ["{LOCAL}"]
forbidden_modules = {json.dumps([SCHEMAS, *SHARED])}
"""


def main() -> int:
    # The sources of this tree, even where a package is also installed from elsewhere.
    sys.path[:0] = [str(folder) for pattern in FOLDERS for folder in ROOT.glob(f"{pattern}/src")]
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "contracts.toml"
        file.write_text(configuration(), encoding="utf-8")
        return lint_imports(config_filename=str(file), no_logo=True)


if __name__ == "__main__":
    sys.exit(main())
