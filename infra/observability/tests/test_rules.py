"""Every rule is valid, fires and does not fire where it should, and leads to a runbook. Prometheus' own tool checks."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace_cli.main import COMMANDS, installed_commands
from headrace_local.prometheus import program

HERE = Path(__file__).parents[1]
ROOT = HERE.parents[1]
RUNBOOKS = ROOT / "docs" / "runbooks"
SECTIONS = ["What it means", "How to look", "What to do", "When it ends"]


def promtool(*arguments: str | Path) -> str:
    """What promtool prints. Raises AssertionError if it reports an error."""
    done = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def loaded(pattern: str) -> list[Any]:
    return [yaml.safe_load(file.read_text()) for file in sorted(HERE.glob(pattern))]


def rules() -> list[dict[str, Any]]:
    return [rule for file in loaded("rules/*.yml") for group in file["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def cases() -> list[dict[str, Any]]:
    """The cases of all alerts in the unit tests."""
    tests = [test for file in loaded("rules/tests/*.yml") for test in file["tests"]]
    return [case for test in tests for case in test.get("alert_rule_test", [])]


def test_prometheus_accepts_the_configuration_and_the_rules() -> None:
    promtool("check", "rules", *sorted((HERE / "rules").glob("*.yml")))
    promtool("check", "config", "--syntax-only", HERE / "prometheus.yml")


def test_the_rules_fire_in_their_unit_tests_and_only_where_they_should() -> None:
    promtool("test", "rules", *sorted((HERE / "rules" / "tests").glob("*.yml")))


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    fired = {
        (case["alertname"], expected["exp_labels"]["severity"]) for case in cases() for expected in case["exp_alerts"]
    }
    quiet = {case["alertname"] for case in cases() if not case["exp_alerts"]}
    assert fired == {(alert["alert"], alert["labels"]["severity"]) for alert in alerts()}
    assert quiet == {alert["alert"] for alert in alerts()}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: f"{alert['alert']}-{alert['labels']['severity']}")
def test_every_alert_has_a_severity_a_summary_and_a_runbook(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert len(alert["annotations"]["summary"]) > 20
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{alert['alert']}.md"


def test_there_is_one_runbook_for_each_alert_with_the_same_sections_and_commands_that_exist() -> None:
    names = {alert["alert"] for alert in alerts()}
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == names
    for name in names:
        text = (RUNBOOKS / f"{name}.md").read_text()
        assert text.startswith(f"# {name}\n")
        assert re.findall(r"^## (.+)$", text, re.M) == SECTIONS
        used = set(re.findall(r"`headrace\s+([a-z]+)", text))
        assert used <= {*COMMANDS, *installed_commands()}, name


def test_the_page_about_observability_lists_every_alert_and_dashboard() -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    assert set(re.findall(r"\(runbooks/(\w+)\.md\)", page)) == {alert["alert"] for alert in alerts()}
    titles = [dashboard["title"] for dashboard in loaded("grafana/dashboards/*.json")]
    assert [title for title in titles if f"*{title}*" not in page] == []
