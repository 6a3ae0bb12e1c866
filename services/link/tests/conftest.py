"""Links on the session's Kafka and Qdrant. The tests of a module share topics and collections, emptied for each."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest_asyncio
from harness.linking import Linking
from harness.servers import Servers

NewLinking = Callable[..., Awaitable[Linking]]


@pytest_asyncio.fixture(loop_scope="module")
async def new_linking(servers: Servers) -> AsyncIterator[NewLinking]:
    """Makes a Linking with options of its own, and closes it after the test."""
    made: list[Linking] = []

    async def new(**options: Any) -> Linking:
        made.append(Linking(servers, **options))
        await made[-1].open()
        return made[-1]

    yield new
    for linking in made:
        await linking.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_linking(servers: Servers) -> AsyncIterator[Linking]:
    """K = 2, no minimum score, four dimensions."""
    linking = Linking(servers)
    await linking.open()
    yield linking
    await linking.close()


@pytest_asyncio.fixture(loop_scope="module")
async def linking(shared_linking: Linking) -> Linking:
    """The Linking of the module, emptied."""
    await shared_linking.reset()
    return shared_linking
