"""Panels and dashboards as Grafana's JSON, each with a title, a unit and a description.

The JSON model: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
JAEGER = {"type": "jaeger", "uid": "jaeger"}
COLUMNS = 24
SCHEMA_VERSION = 39
RATE = "[$__rate_interval]"
READY = ((0, "not ready", "red"), (1, "ready", "green"))
OPEN = ((0, "no", "green"), (1, "yes", "red"))

Json = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """A PromQL expression, and the name of each of its series, with labels in double braces."""

    expr: str
    legend: str


OBJECTIVE = Query("headrace_freshness_objective_seconds", "objective")


@dataclass(frozen=True)
class Panel:
    """`unit`: one of Grafana's units, such as s, percentunit or short. `width`: of 24 columns.

    `kind`: a graph over time, the newest values, or a bar over time for each state. `states`: value, text and colour.
    """

    title: str
    unit: str
    description: str
    queries: Sequence[Query]
    kind: Literal["timeseries", "stat", "state-timeline"] = "timeseries"
    width: int = 8
    states: Sequence[tuple[int, str, str]] = ()
    stacked: bool = False

    def json(self) -> Json:
        defaults: Json = {"unit": self.unit, "mappings": [self._mappings()] if self.states else []}
        if self.kind == "timeseries":
            stacking = {"mode": "normal" if self.stacked else "none"}
            defaults |= {"min": 0, "custom": {"fillOpacity": 30 if self.stacked else 0, "stacking": stacking}}
        return {
            "type": self.kind,
            "datasource": PROMETHEUS,
            "targets": [_target(place, query, instant=self.kind == "stat") for place, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": self._options(),
        }

    def _options(self) -> Json:
        if self.kind == "stat":
            return {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "value_and_name", "colorMode": "none"}
        legend = {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}
        return {"legend": legend, "tooltip": {"mode": "multi"}} if self.kind == "timeseries" else {"showValue": "never"}

    def _mappings(self) -> Json:
        options = {str(value): {"text": text, "color": color} for value, text, color in self.states}
        return {"type": "value", "options": options}


@dataclass(frozen=True)
class TracePanel:
    """The trace of the dashboard's variable `trace_id`."""

    title: str
    description: str
    unit: str = "none"
    width: int = COLUMNS

    def json(self) -> Json:
        return {
            "type": "traces",
            "datasource": JAEGER,
            "targets": [{"refId": "A", "datasource": JAEGER, "query": "$trace_id"}],
            "fieldConfig": {"defaults": {"unit": self.unit}, "overrides": []},
            "options": {},
        }


@dataclass(frozen=True)
class Dashboard:
    """`variables`: name and, of a Prometheus label, the query for its values; without a query it is typed in."""

    uid: str
    title: str
    description: str
    panels: Sequence[Panel | TracePanel]
    variables: Sequence[tuple[str, str | None]] = ()
    height: int = 9

    def json(self) -> Json:
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["headrace"],
            "schemaVersion": SCHEMA_VERSION,
            "editable": False,
            "graphTooltip": 1,
            "time": {"from": "now-1h", "to": "now"},
            "refresh": "10s",
            "links": [{"type": "dashboards", "tags": ["headrace"], "title": "Headrace", "asDropdown": True}],
            "templating": {"list": [_variable(name, query) for name, query in self.variables]},
            "panels": list(self._placed()),
        }

    def _placed(self) -> Sequence[Json]:
        placed: list[Json] = []
        x = y = 0
        for number, panel in enumerate(self.panels, start=1):
            if x + panel.width > COLUMNS:
                x, y = 0, y + self.height
            place = {"x": x, "y": y, "w": panel.width, "h": self.height}
            head = {"id": number, "title": panel.title, "description": panel.description, "gridPos": place}
            placed.append(head | panel.json())
            x += panel.width
        return placed


def quantiles(metric: str, by: str, legend: str, selector: str = "") -> list[Query]:
    """The p50 and p99 of a histogram, for each value of the label `by`."""
    buckets = f"sum by (le, {by}) (rate({metric}_bucket{selector}{RATE}))"
    return [Query(f"histogram_quantile({q / 100:g}, {buckets})", f"p{q} {legend}".rstrip()) for q in (50, 99)]


def _target(place: int, query: Query, *, instant: bool) -> Json:
    return {
        "refId": chr(ord("A") + place),
        "datasource": PROMETHEUS,
        "expr": query.expr,
        "legendFormat": query.legend,
        "instant": instant,
        "range": not instant,
        "exemplar": not instant and "_bucket" in query.expr,
    }


def _variable(name: str, query: str | None) -> Json:
    if query is None:
        return {"type": "textbox", "name": name, "label": name.replace("_", " "), "query": ""}
    return {
        "type": "query",
        "name": name,
        "label": name,
        "datasource": PROMETHEUS,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
    }
