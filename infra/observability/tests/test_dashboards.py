"""The dashboards are those of their definitions, complete, and use data sources that are provisioned."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dashboards.__main__ import FOLDER, files

HERE = Path(__file__).parents[1]
DASHBOARDS = [json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))]
dashboards = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard["uid"])


def test_the_files_are_those_of_the_definitions() -> None:
    written = {path.name: content for path, content in files()}
    assert {file.name: file.read_text() for file in FOLDER.iterdir()} == written, "run `make format`"


def test_every_dashboard_has_an_id_and_a_title_of_its_own() -> None:
    assert len({dashboard["uid"] for dashboard in DASHBOARDS}) == len(DASHBOARDS) == 5
    assert len({dashboard["title"] for dashboard in DASHBOARDS}) == len(DASHBOARDS)


@dashboards
def test_every_panel_has_a_title_a_unit_a_description_and_a_place(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]
    assert len({panel["title"] for panel in panels}) == len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"], panel
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["targets"], panel["title"]
    taken = [cell for panel in panels for cell in cells(**panel["gridPos"])]
    assert len(taken) == len(set(taken))


@dashboards
def test_every_data_source_is_provisioned_and_every_variable_is_defined(dashboard: dict[str, Any]) -> None:
    provisioned = yaml.safe_load((HERE / "grafana/provisioning/datasources/headrace.yml").read_text())["datasources"]
    known = {(source["type"], source["uid"]) for source in provisioned}
    sources = [target["datasource"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert {(source["type"], source["uid"]) for source in sources} <= known
    used = set(re.findall(r"\$(\w+)", json.dumps(dashboard["panels"]))) - {"__rate_interval"}
    assert used == {variable["name"] for variable in dashboard["templating"]["list"]}


def cells(x: int, y: int, w: int, h: int) -> list[tuple[int, int]]:
    assert x + w <= 24
    return [(column, row) for column in range(x, x + w) for row in range(y, y + h)]
