"""One pipeline for the module: a fault leaves it in the state that the next one starts from, as in life."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from harness.pipeline import Pipeline
from harness.servers import Servers


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Links are between all that a store holds, so this catalogue has stores to itself."""
    made = Servers(tmp_path_factory.mktemp("stack"))
    yield made
    made.destroy()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pipeline(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pipeline]:
    """Every worker running on the session's servers."""
    made = Pipeline(servers, tmp_path_factory.mktemp("workers"))
    try:
        await made.open()
        yield made
    finally:
        await made.close()
