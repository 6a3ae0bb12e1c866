"""The expressions of all dashboards and rules, and whether a Prometheus has data for them."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
METRIC = re.compile(r"\b(?:headrace(?:_|:)[\w:]+|process_\w+|up|ALERTS)\b(?:\{[^}]*\})?")
VARIABLES = {"$__rate_interval": "30s", "$worker": ".+"}


def of_dashboards() -> Iterator[tuple[str, str]]:
    """Where each expression stands, and the expression with Grafana's variables filled in."""
    for file in sorted((HERE / "grafana" / "dashboards").glob("*.json")):
        dashboard = json.loads(file.read_text())
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                if "expr" in target:
                    yield f"{dashboard['title']}, {panel['title']}", _filled(target["expr"])
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                name = re.fullmatch(r"label_values\((\w+), \w+\)", variable["query"]["query"])
                assert name is not None, variable
                yield f"{dashboard['title']}, the variable {variable['name']}", name[1]


def of_rules() -> Iterator[tuple[str, str]]:
    """The name and the expression of each rule."""
    for file in sorted((HERE / "rules").glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                yield f"rule {rule.get('alert') or rule['record']}", rule["expr"]


def metrics(expression: str) -> set[str]:
    """The selectors in an expression: a metric with its labels, without a range."""
    return set(METRIC.findall(expression))


class Prometheus:
    """The HTTP interface of a running Prometheus. Its errors name the expression."""

    def __init__(self, url: str) -> None:
        self._url = url

    def values(self, expression: str, start: float, end: float) -> list[float]:
        """All values of the expression between two times, seconds since 1970. Raises AssertionError if it is wrong."""
        found = self._get("query_range", query=expression, start=start, end=end, step=1)
        assert found["status"] == "success", f"{expression}: {found.get('error')}"
        return [float(value) for series in found["data"]["result"] for _, value in series["values"] if value != "NaN"]

    def trace_ids(self, metric: str, start: float, end: float) -> set[str]:
        """The trace ids of the metric's exemplars between two times."""
        found = self._get("query_exemplars", query=metric, start=start, end=end)["data"]
        return {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}

    def alerts(self) -> list[dict[str, str]]:
        """The labels of each alert that fires or is about to; `alertstate` is firing or pending."""
        return [alert["labels"] | {"alertstate": alert["state"]} for alert in self._get("alerts")["data"]["alerts"]]

    def targets(self) -> dict[str, str]:
        """The health of each target of the workers, by the worker's name."""
        active = self._get("targets")["data"]["activeTargets"]
        return {
            one["labels"].get("worker", one["scrapeUrl"]): one["health"]
            for one in active
            if one["scrapePool"] == "headrace"
        }

    def _get(self, path: str, **parameters: Any) -> Any:
        address = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=20) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)


def _filled(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(f'="{variable}"', f'=~"{value}"').replace(variable, value)
    return expression
