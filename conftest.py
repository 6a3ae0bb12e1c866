"""One set of real servers for a test session."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.servers import Servers

# Half of what starting a JVM costs is compiling for speed that no test needs.
os.environ.setdefault("ES_JAVA_OPTS", "-Xms256m -Xmx256m -XX:TieredStopAtLevel=1")
os.environ.setdefault("KAFKA_HEAP_OPTS", "-Xmx512m -XX:TieredStopAtLevel=1")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """This session's servers, each started when a test first needs it, gone with their data at the end.

    With TEST_STACK, those of that directory: several sessions, one after the other, share them, and they go on running.
    """
    shared = os.environ.get("TEST_STACK")
    running = Servers(Path(shared) if shared else tmp_path_factory.mktemp("stack"))
    yield running
    if not shared:
        running.destroy()


@pytest.fixture
def faults(servers: Servers) -> Iterator[Servers]:
    """The servers for a test that breaks some: whatever becomes of it, the next test finds them serving."""
    yield servers
    servers.heal()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for the servers carries their mark."""
    for item in items:
        if "servers" in getattr(item, "fixturenames", ()):
            item.add_marker("servers")
