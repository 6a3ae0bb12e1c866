"""Apache Kafka in KRaft mode: one combined node, or one of three."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from headrace_local.downloads import cached, fetch_with_maven
from headrace_local.errors import StackError
from headrace_local.kafka_metadata import live_ports
from headrace_local.ports import HOST
from headrace_local.prerequisites import java_home
from headrace_local.server import Command, base_environment

VERSION = "4.1.0"
# All stacks have the same id, so that a start can use the data directory of an interrupted start.
CLUSTER = "aGVhZHJhY2UtbG9jYWwtMQ"
HEAP = "-Xmx512m"
MAX_MESSAGE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Node:
    """One combined broker and controller."""

    id: int
    client_port: int
    controller_port: int


@dataclass(frozen=True)
class Kafka:
    """`properties`: further ones of the broker, which replace those here. `format_options`: of the first start."""

    name: str
    home: Path
    node: Node
    nodes: Sequence[Node]
    properties: Mapping[str, object] = field(default_factory=dict)
    format_options: Sequence[str] = ()
    port_names: ClassVar[tuple[str, ...]] = ("client", "controller")
    refuses_root: ClassVar[bool] = False

    def install(self) -> None:
        java_home()
        self._programs()

    def prepare(self) -> None:
        """Format the log directory under another name and rename it, so that an interrupted format is not used."""
        self._write("log4j2.properties", (files("headrace_local") / "kafka-log4j2.properties").read_text())
        self._write("server.properties", self._properties(self._data))
        if self._data.is_dir():
            return
        fresh = self.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        config = self._write("format.properties", self._properties(fresh))
        argv = [*self._java("-Xmx128m"), "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(config)]
        argv += self.format_options
        done = subprocess.run(argv, capture_output=True, text=True, env=base_environment(self.home), check=False)
        if done.returncode != 0:
            reason = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise StackError(f"{self.name}: formatting {fresh} failed: {' '.join(reason)}")
        fresh.rename(self._data)

    def command(self) -> Command:
        # KAFKA_HEAP_OPTS is the variable that Kafka's own scripts read.
        heap = os.environ.get("KAFKA_HEAP_OPTS", HEAP).split()
        config = str(self.home / "server.properties")
        return Command([*self._java(*heap), "kafka.Kafka", config], base_environment(self.home))

    def is_ready(self) -> bool:
        return self.node.client_port in live_ports(HOST, self.node.client_port)

    def settings(self) -> Mapping[str, str]:
        servers = ",".join(f"{HOST}:{node.client_port}" for node in self.nodes)
        settings = {"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": servers}
        if len(self.nodes) > 1:
            settings |= {"HEADRACE_KAFKA__REPLICATION_FACTOR": "3", "HEADRACE_KAFKA__MIN_INSYNC_REPLICAS": "2"}
        return settings

    @property
    def _data(self) -> Path:
        return self.home / "data"

    def _programs(self) -> Path:
        return cached(f"kafka-{VERSION}", lambda into: fetch_with_maven("kafka", into))

    def _java(self, *options: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self.home / 'log4j2.properties'}"
        return [str(java_home() / "bin" / "java"), *options, logging, "-cp", f"{self._programs()}/*"]

    def _write(self, name: str, text: str) -> Path:
        path = self.home / name
        path.write_text(text)
        return path

    def _properties(self, data: Path) -> str:
        copies = len(self.nodes)
        enough = 2 if copies >= 3 else 1
        values = {
            "process.roles": "broker,controller",
            "node.id": self.node.id,
            "controller.quorum.voters": ",".join(f"{node.id}@{HOST}:{node.controller_port}" for node in self.nodes),
            "listeners": f"CLIENT://{HOST}:{self.node.client_port},CONTROLLER://{HOST}:{self.node.controller_port}",
            "advertised.listeners": f"CLIENT://{HOST}:{self.node.client_port}",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "CLIENT",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": data,
            "auto.create.topics.enable": "false",
            "default.replication.factor": copies,
            "min.insync.replicas": enough,
            "offsets.topic.replication.factor": copies,
            # The default is 50; the first consumer waits until all are made.
            "offsets.topic.num.partitions": 6,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": enough,
            "transaction.state.log.num.partitions": 6,
            # A killed node can register again only after its old session has expired (9 s by default).
            "broker.session.timeout.ms": 4000,
            "broker.heartbeat.interval.ms": 500,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            # Each topic sets its own limit; these limits must not be lower.
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "replica.fetch.max.bytes": MAX_MESSAGE_BYTES,
            # Short, for tests in which records expire, are compacted, or a transaction's producer is killed.
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500,
            "log.cleaner.backoff.ms": 1000,
            "log.retention.check.interval.ms": 1000,
            "log.initial.task.delay.ms": 1000,
            **self.properties,
        }
        return "".join(f"{name}={value}\n" for name, value in values.items())
