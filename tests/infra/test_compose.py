"""docker-compose.yml is valid, publishes ports only on loopback, and runs every worker."""

import json
import re
import stat
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from headrace_worker.settings import ENV_PREFIX
from headrace_worker.worker import known_variables, observer_names, process_names

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "infra/docker/Dockerfile").read_text()
OF_ELASTICSEARCH = (ROOT / "infra/docker/elasticsearch.Dockerfile").read_text()
SECRET_NAMES = re.compile(r"PASSWORD|SECRET|TOKEN|API_KEY")
BUILT_HERE = "headrace-worker"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for file in (ROOT / "docker-compose.yml", *sorted(ROOT.glob("services/*/compose.yaml"))):
        found = merged(found, yaml.safe_load(file.read_text()))
    return found


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two compose files merged as compose does it: mappings by key, the lists of volumes one after the other."""
    both = one | other
    for name in one.keys() & other.keys():
        if isinstance(one[name], dict):
            both[name] = merged(one[name], other[name])
        elif isinstance(one[name], list) and name == "volumes":
            both[name] = [*one[name], *other[name]]
    return both


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


def test_the_file_keeps_to_the_compose_specification(compose: dict[str, Any]) -> None:
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(compose, json.loads(schema.read_text()))


def test_every_image_is_pinned_to_a_version(services: dict[str, Any]) -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE + OF_ELASTICSEARCH, re.M)
    images = [service["image"] for service in services.values()] + bases
    assert [image for image in images if not re.search(r":v?\d+\.\d+", image)] == []


def test_ports_are_published_only_on_loopback(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not str(port).startswith("127.0.0.1:")] == []
    assert not any("network_mode" in service for service in services.values())


def test_each_worker_has_one_service_that_waits_for_the_setup(services: dict[str, Any]) -> None:
    running = [service for service in services.values() if service.get("command", [])[:1] == ["work"]]
    assert sorted(service["command"][1] for service in running) == sorted(process_names())
    for service in running:
        assert service["depends_on"]["setup"] == {"condition": "service_completed_successfully"}
        assert service["restart"] == "unless-stopped"
        assert service["environment"]["HEADRACE_HTTP__HOST"] == "0.0.0.0"


def test_the_setup_creates_topics_and_stores_once_every_server_is_healthy(services: dict[str, Any]) -> None:
    setup = services["setup"]
    assert "headrace topics apply && headrace stores apply" in setup["entrypoint"]
    servers = {"kafka", "elasticsearch", "qdrant", "postgres"}
    assert setup["depends_on"] == {server: {"condition": "service_healthy"} for server in servers}


def test_the_demo_waits_for_every_worker(services: dict[str, Any]) -> None:
    running = {name: service for name, service in services.items() if service.get("command", [])[:1] == ["work"]}
    workers = {name for name, service in running.items() if service["command"][1] not in observer_names()}
    assert services["demo"]["depends_on"] == {worker: {"condition": "service_healthy"} for worker in workers}


def test_every_server_has_a_health_check(services: dict[str, Any]) -> None:
    servers = {name for name, service in services.items() if BUILT_HERE not in service["image"]}
    observing = {"prometheus", "grafana", "jaeger"}
    assert servers == {"kafka", "elasticsearch", "qdrant", "postgres", "triton", *observing}
    assert [name for name in servers if not services[name]["healthcheck"].get("test")] == []
    assert "/healthz" in DOCKERFILE


def test_no_server_reports_to_its_maker(services: dict[str, Any]) -> None:
    assert services["qdrant"]["environment"]["QDRANT__TELEMETRY_DISABLED"] == "true"
    assert services["elasticsearch"]["environment"]["ingest.geoip.downloader.enabled"] == "false"
    assert services["triton"]["environment"]["ORT_DISABLE_TELEMETRY"] == "1"
    switches = (
        "GF_ANALYTICS_REPORTING_ENABLED",
        "GF_ANALYTICS_CHECK_FOR_UPDATES",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES",
        "GF_NEWS_NEWS_FEED_ENABLED",
        "GF_PLUGINS_PLUGIN_ADMIN_ENABLED",
        "GF_SNAPSHOTS_EXTERNAL_ENABLED",
    )
    assert {services["grafana"]["environment"][switch] for switch in switches} == {"false"}
    for switch in ("GF_PLUGINS_PREINSTALL_DISABLED", "GF_SECURITY_DISABLE_GRAVATAR"):
        assert services["grafana"]["environment"][switch] == "true"
    assert re.search(r"^ENV ORT_DISABLE_TELEMETRY=1$", DOCKERFILE, re.M)


def test_what_observes_is_optional_and_lets_nobody_change_dashboards(services: dict[str, Any]) -> None:
    for name in ("prometheus", "grafana", "jaeger"):
        assert services[name]["profiles"] == ["observe"]
    grafana = services["grafana"]["environment"]
    assert (grafana["GF_AUTH_ANONYMOUS_ENABLED"], grafana["GF_AUTH_ANONYMOUS_ORG_ROLE"]) == ("true", "Viewer")
    assert (grafana["GF_AUTH_DISABLE_LOGIN_FORM"], grafana["GF_AUTH_BASIC_ENABLED"]) == ("true", "false")


def test_prometheus_asks_for_every_worker_of_the_file() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    config = yaml.safe_load((ROOT / "infra/observability/prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    workers = {name for name, service in services.items() if service.get("command", [])[:1] == ["work"]}
    assert workers <= set(job["dns_sd_configs"][0]["names"])


def test_every_variable_is_a_setting(services: dict[str, Any]) -> None:
    used = {name for service in services.values() for name in service.get("environment", {})}
    used |= set(re.findall(rf"{ENV_PREFIX}\w+", DOCKERFILE))
    unknown = {name for name in used if name.startswith(ENV_PREFIX)} - known_variables()
    assert unknown == set()


def test_secrets_come_from_outside_and_are_required(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    named = [line for line in text.splitlines() if SECRET_NAMES.search(line)]
    assert named
    assert [line for line in named if not re.search(r"\$\{POSTGRES_PASSWORD:\?", line)] == []


def test_every_named_volume_is_declared_and_used(compose: dict[str, Any]) -> None:
    used = {mount.split(":")[0] for service in compose["services"].values() for mount in service.get("volumes", [])}
    folders = {source for source in used if source.startswith("./")}
    assert used - folders == set(compose["volumes"])
    assert [source for source in folders if not (ROOT / source).exists()] == []


def test_the_image_installs_pinned_packages_and_does_not_run_as_root() -> None:
    assert "uv pip sync --require-hashes requirements.txt" in DOCKERFILE
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.M)[-1] == "headrace"


def test_the_demo_in_containers_names_what_is_missing_in_one_line(tmp_path: Path) -> None:
    path = f"{tmp_path}:/usr/bin:/bin"
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    command = ["bash", str(ROOT / "infra/docker-demo.sh")]
    done = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr.startswith("headrace: DOCKER=1 needs Docker")
    assert len(done.stderr.splitlines()) == 1


def test_the_environment_file_is_private_complete_and_created_once(compose: dict[str, Any], tmp_path: Path) -> None:
    made = tmp_path / "new" / ".env"
    command = ["bash", str(ROOT / "infra/docker/env.sh"), str(made)]
    subprocess.run(command, check=True, timeout=30)
    first = made.read_text()
    values = dict(line.split("=", 1) for line in first.splitlines())
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert len(values["POSTGRES_PASSWORD"]) == 48
    needed = set(re.findall(r"\$\{(\w+):[-?]", (ROOT / "docker-compose.yml").read_text())) - {"EMBEDDER"}
    assert set(values) == needed
    subprocess.run(command, check=True, timeout=30)
    assert made.read_text() == first
