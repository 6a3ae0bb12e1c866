"""One pipeline for all faults: each fault starts from the state that the one before it left."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from harness.pipeline import Pipeline
from harness.servers import Servers


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The links of a store depend on all its entities, so this catalogue has its own stores."""
    made = Servers(tmp_path_factory.mktemp("stack"))
    yield made
    made.destroy()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pipeline(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pipeline]:
    """Runs every worker on these servers."""
    made = Pipeline(servers, tmp_path_factory.mktemp("workers"))
    try:
        await made.open()
        yield made
    finally:
        await made.close()
