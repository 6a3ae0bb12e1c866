"""The servers that a stack can have, built with their recorded ports."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from headrace_local.elasticsearch import Elasticsearch
from headrace_local.kafka import Kafka, Node
from headrace_local.postgres import Postgres
from headrace_local.qdrant import Qdrant
from headrace_local.record import Record
from headrace_local.server import Server
from headrace_local.system_user import home, unprivileged
from headrace_local.triton import Triton

SINGLE: dict[str, Callable[[str, Path, Mapping[str, int]], Server]] = {
    "elasticsearch": Elasticsearch,
    "postgres": Postgres,
    "qdrant": Qdrant,
}


def kafka_names(nodes: int) -> list[str]:
    """`kafka`, or `kafka-1` and so on."""
    return ["kafka"] if nodes == 1 else [f"kafka-{node}" for node in range(1, nodes + 1)]


def server_names(nodes: int, *, triton: bool) -> list[str]:
    return [*kafka_names(nodes), *SINGLE, *(["triton"] if triton else [])]


def port_names(name: str) -> tuple[str, ...]:
    """The purposes of a server's ports, the one for clients first."""
    return _kind(name).port_names


def build(name: str, record: Record, data_dir: Path, kafka: Sequence[str], triton_repository: Path | None) -> Server:
    """The server of that name on its recorded ports, with its directory made.

    Raises
    ------
    StackError
        If its directory cannot be reached by the user it has to run as.
    """
    place = home(data_dir, name, unprivileged() if _kind(name).refuses_root else None)
    ports = record.servers[name].ports
    if name in kafka:
        nodes = [
            Node(id, record.servers[other].ports["client"], record.servers[other].ports["controller"])
            for id, other in enumerate(kafka, start=1)
            if other in record.servers
        ]
        return Kafka(name, place, next(node for node in nodes if node.client_port == ports["client"]), nodes)
    if name == "triton":
        assert triton_repository is not None
        return Triton(name, place, ports, triton_repository)
    return SINGLE[name](name, place, ports)


def _kind(name: str) -> type[Server]:
    kinds: dict[str, type[Server]] = {
        "elasticsearch": Elasticsearch,
        "postgres": Postgres,
        "qdrant": Qdrant,
        "triton": Triton,
    }
    return kinds.get(name, Kafka)
