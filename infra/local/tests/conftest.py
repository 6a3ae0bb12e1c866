"""One Qdrant development server for the tests of this folder, and a collection for each test."""

from collections.abc import AsyncIterator, Callable, Iterator
from uuid import uuid4

import pytest
from qdrant_client import AsyncQdrantClient, models

from headrace_local.stack import Stack


@pytest.fixture(scope="session")
def qdrant_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("qdrant"), services={"qdrant"})
    stack.up()
    yield stack
    stack.destroy()


@pytest.fixture
def connect(qdrant_stack: Stack) -> Callable[[], AsyncQdrantClient]:
    (server,) = qdrant_stack.status()
    url = f"http://127.0.0.1:{server.ports['http']}"
    return lambda: AsyncQdrantClient(url=url, prefer_grpc=False, timeout=20)


@pytest.fixture
async def client(connect: Callable[[], AsyncQdrantClient]) -> AsyncIterator[AsyncQdrantClient]:
    connected = connect()
    yield connected
    await connected.close()


@pytest.fixture
async def collection(client: AsyncQdrantClient) -> str:
    """An empty collection with a named vector of two dimensions."""
    name = f"products__{uuid4().hex}"
    dense = models.VectorParams(size=2, distance=models.Distance.COSINE)
    await client.create_collection(name, vectors_config={"dense": dense})
    return name
