"""The topics and settings of the worker."""

import pytest

from headrace_elasticsearch.settings import ElasticsearchWorkerSettings
from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_schemas.links import ProductLinks
from headrace_worker.worker import load_worker


def test_it_reads_the_source_topics_and_the_link_sets() -> None:
    worker = load_worker("elasticsearch")

    inputs = worker.inputs(worker.settings(topic_prefix="t."))

    assert inputs == {"t.products": ProductChange, "t.keywords": KeywordChange, "t.product-links": ProductLinks}


def test_a_poll_stays_large_enough_when_another_batch_setting_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_BATCH__WAIT_MS", "50")

    batch = ElasticsearchWorkerSettings().batch

    assert (batch.wait_ms, batch.max_records) == (50, 4000)
