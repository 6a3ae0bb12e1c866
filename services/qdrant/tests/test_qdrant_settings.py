"""Each setting comes from the environment without a change of the others."""

import pytest

from headrace_qdrant.app import worker
from headrace_qdrant.settings import QdrantWorkerSettings
from headrace_schemas.embedded import EmbeddedKeyword, EmbeddedProduct


def test_one_batch_setting_does_not_reset_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    before = QdrantWorkerSettings().batch.max_records
    monkeypatch.setenv("HEADRACE_BATCH__WAIT_MS", "7")
    batch = QdrantWorkerSettings().batch
    assert (batch.wait_ms, batch.max_records) == (7, before)


def test_the_worker_reads_only_the_embedded_changes_of_its_model() -> None:
    settings = QdrantWorkerSettings(model="some-model", topic_prefix="shop.")
    assert worker.inputs(settings) == {
        "shop.products.embedded.some-model": EmbeddedProduct,
        "shop.keywords.embedded.some-model": EmbeddedKeyword,
    }
