"""The servers that a stack can have, built with their recorded ports."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace_local.elasticsearch import Elasticsearch
from headrace_local.kafka import Kafka, Node
from headrace_local.otlp import Otlp
from headrace_local.ports import HOST
from headrace_local.postgres import Postgres
from headrace_local.prometheus import Prometheus
from headrace_local.qdrant import Qdrant
from headrace_local.record import Record
from headrace_local.server import Server
from headrace_local.system_user import home, unprivileged
from headrace_local.targets import Targets
from headrace_local.triton import Triton

SINGLE: dict[str, Callable[[str, Path, Mapping[str, int]], Server]] = {
    "elasticsearch": Elasticsearch,
    "postgres": Postgres,
    "qdrant": Qdrant,
}
OBSERVING = ("prometheus", "targets", "otlp")
ON_REQUEST = ("otlp",)
"""Needs no options, and starts only where it is named or with the others that observe."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the servers that observe the workers need. `rules`: the folder with Prometheus' rules.

    `finder`: a command that keeps a file with the addresses of the workers current; the file is its last argument.
    """

    rules: Path
    finder: Sequence[str]


@dataclass(frozen=True, slots=True)
class Options:
    """Which further servers a stack has. None: it does not have them. `triton`: a model repository."""

    triton: Path | None = None
    observation: Observation | None = None


def kafka_names(nodes: int) -> list[str]:
    """`kafka`, or `kafka-1` and so on."""
    return ["kafka"] if nodes == 1 else [f"kafka-{node}" for node in range(1, nodes + 1)]


def server_names(nodes: int, options: Options) -> list[str]:
    further = [*(["triton"] if options.triton else []), *(OBSERVING if options.observation else [])]
    return [*kafka_names(nodes), *SINGLE, *further]


def port_names(name: str) -> tuple[str, ...]:
    """The purposes of a server's ports, the one for clients first."""
    return _kind(name).port_names


def build(name: str, record: Record, data_dir: Path, kafka: Sequence[str], options: Options) -> Server:
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
        assert options.triton is not None
        return Triton(name, place, ports, options.triton)
    if name == "otlp":
        return Otlp(name, place, ports)
    if name in OBSERVING:
        assert options.observation is not None
        folder = data_dir / "prometheus" / "targets"
        if name == "prometheus":
            return Prometheus(name, place, ports, options.observation.rules, folder)
        brokers = [f"{HOST}:{record.servers[node].ports['client']}" for node in kafka if node in record.servers]
        return Targets(name, place, ports, options.observation.finder, folder / "workers.json", ",".join(brokers))
    return SINGLE[name](name, place, ports)


def _kind(name: str) -> type[Server]:
    kinds: dict[str, type[Server]] = {
        "elasticsearch": Elasticsearch,
        "postgres": Postgres,
        "qdrant": Qdrant,
        "triton": Triton,
        "prometheus": Prometheus,
        "targets": Targets,
        "otlp": Otlp,
    }
    return kinds.get(name, Kafka)
