"""One set of real servers for each process that runs tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.servers import Servers

from headrace_local import ports

# Half of the processor time of a JVM's start is compilation for a speed that no test needs.
os.environ.setdefault("ES_JAVA_OPTS", "-Xms256m -Xmx256m -XX:TieredStopAtLevel=1")
os.environ.setdefault("KAFKA_HEAP_OPTS", "-Xmx512m -XX:TieredStopAtLevel=1")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """This process's servers. Each starts when a test first needs it; all end, with their data, after the last test.

    With TEST_STACK they are the servers of that directory, and keep running: several sessions, one after the other,
    share them.
    """
    shared = os.environ.get("TEST_STACK")
    running = Servers(Path(shared) if shared else tmp_path_factory.mktemp("stack"))
    yield running
    if not shared:
        running.destroy()


@pytest.fixture
def faults(servers: Servers) -> Iterator[Servers]:
    """The servers for a test that breaks some. After the test, passed or failed, all serve again."""
    yield servers
    servers.heal()


def pytest_configure() -> None:
    """Give each process of pytest-xdist its own range of ports.

    A stack chooses ports that are free at that moment. Without ranges another process could choose the ports of a
    server that a test has just killed.
    """
    process, processes = os.environ.get("PYTEST_XDIST_WORKER"), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if process is not None:
        width = (ports.HIGHEST - ports.LOWEST) // processes
        ports.LOWEST += width * int(process.removeprefix("gw"))
        ports.HIGHEST = ports.LOWEST + width


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that ask for the servers, and run them first.

    The processes of pytest-xdist take files in this order, and the short files at the end keep all of them busy.
    """
    for item in items:
        if "servers" in getattr(item, "fixturenames", ()):
            item.add_marker("servers")
    with_servers = {item.path for item in items if item.get_closest_marker("servers")}
    items.sort(key=lambda item: item.path not in with_servers)
