"""Two embedding models on one set of topics, each with all of its workers as processes."""

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from harness.forked_command import headrace
from harness.processes import WorkerProcess
from harness.servers import SERVERS, Servers
from harness.store_parts import open_part
from headrace_embed.model_files import model_files
from headrace_worker.model_catalogue import catalogue_model
from headrace_worker.settings import WorkerSettings
from headrace_worker.worker import load_worker

FORMER, OTHER = "minilm-l6-v2", "multilingual-e5-small"
WORKERS = ("embed", "qdrant", "pgvector", "elasticsearch", "link")
FORGET_SECONDS = 10.0
"""Longer than the session timeout: Kafka has forgotten a worker that was killed."""


class TwoModels:
    """The other model has the weights of the first, with other prefixes. A model's workers run between `start` and
    `end`. `variables`: HEADRACE_ variables of both, without that prefix.
    """

    def __init__(self, servers: Servers, directory: Path) -> None:
        run = uuid.uuid4().hex[:8]
        self.variables = {"TOPIC_PREFIX": f"g{run}.", "NAMESPACE": f"g{run}", "KAFKA__SESSION_TIMEOUT": "6"}
        self.settings = servers.settings(WorkerSettings, *SERVERS, **self.variables)
        self._servers, self._directory = servers, directory
        self._weights = str(model_files(catalogue_model(FORMER)).folder)
        self._workers: dict[str, list[WorkerProcess]] = {}

    def environment(self, model: str) -> dict[str, str]:
        """The HEADRACE_ variables of the model's workers."""
        own = {f"HEADRACE_{name}": value for name, value in self.variables.items()}
        second = {"HEADRACE_MODEL_DIR": self._weights, "HEADRACE_GROUPS_BY_MODEL": "true"}
        return dict(self._servers.need()) | own | (second if model == OTHER else {}) | {"HEADRACE_MODEL": model}

    def start(self, model: str) -> None:
        """Starts the model's workers; returns at once."""
        made = [WorkerProcess(name, self.environment(model), self._directory, model) for name in WORKERS]
        self._workers[model] = made
        for worker in made:
            worker.start()

    def end(self) -> None:
        """Ends all workers."""
        for model in list(self._workers):
            self._end(model)

    async def leave(self, model: str) -> None:
        """Ends the workers of a model. Kafka has forgotten them afterwards."""
        self._end(model)
        await asyncio.sleep(FORGET_SECONDS)

    async def headrace(self, model: str, *arguments: str, fails: bool = False) -> str:
        """Runs a command with the environment of a model; what it prints."""
        done = await asyncio.to_thread(headrace, *arguments, environment=self.environment(model), timeout=600)
        assert fails == bool(done.returncode), (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def of(self, model: str) -> "OfModel":
        """What the readers of that model find."""
        more = {"GROUPS_BY_MODEL": "true"} if model == OTHER else {}
        return OfModel(self._servers, {**self.variables, **more, "MODEL": model})

    def _end(self, model: str) -> None:
        for worker in self._workers.pop(model, []):
            worker.end()


class OfModel:
    """The stores as one model's readers see them."""

    def __init__(self, servers: Servers, variables: dict[str, str]) -> None:
        self._servers, self._variables = servers, variables
        self.settings = servers.settings(WorkerSettings, *SERVERS, **variables)

    def settings_of(self, name: str) -> Any:
        return self._servers.settings(load_worker(name).settings, *SERVERS, **self._variables)

    def store(self, name: str) -> AbstractAsyncContextManager[Any]:
        """Opens the read side of a worker's store; None if it has none."""
        return open_part(name, "store", self.settings_of(name))

    def links(self, name: str) -> AbstractAsyncContextManager[Any]:
        """Opens the link sets of a worker's store; None if it has none."""
        return open_part(name, "links", self.settings_of(name))

    async def scores(self, name: str, products: Sequence[str]) -> dict[str, list[float]]:
        """The scores of the links of each product that has a link set in the store, best first."""
        async with self.links(name) as opened:
            await opened.refresh()
            found = await opened.links_of(products)
            return {id: [round(link.score, 4) for link in links.links] for id, links in found.items()}
