"""docs/settings.md describes the settings classes."""

import runpy
from pathlib import Path

from headrace_worker.worker import known_variables, worker_names

DOCS = Path(__file__).parents[2] / "docs"


def test_the_settings_page_matches_the_settings_classes() -> None:
    page = runpy.run_path(str(DOCS / "settings_page.py"))["page"]()
    again = "create it again: .venv/bin/python docs/settings_page.py > docs/settings.md"
    assert (DOCS / "settings.md").read_text() == page, again


def test_every_variable_of_every_worker_is_on_the_page() -> None:
    page = (DOCS / "settings.md").read_text()
    assert {name for name in known_variables() if f"`{name}`" not in page} == set()
    assert {name for name in worker_names() if name not in page} == set()
