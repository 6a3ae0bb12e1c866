"""Every call of Elasticsearch is measured, and a failed one is counted by the kind of its failure."""

from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError, ConnectionError, ConnectionTimeout, TransportError

from headrace_elasticsearch.client import connect
from headrace_elasticsearch.errors import item_error, request_error
from headrace_elasticsearch.settings import ElasticsearchSettings
from headrace_worker.store_calls import CALL_SECONDS, ERRORS, count_refused

NOWHERE = ElasticsearchSettings(url="http://127.0.0.1:1", timeout=1)


def value(collector: Any, name: str, **labels: str) -> float:
    labels["store"] = "elasticsearch"
    found = [
        one.value
        for family in collector.collect()
        for one in family.samples
        if (one.name, one.labels) == (name, labels)
    ]
    return found[0] if found else 0.0


def answered(status: int, kind: str = "any") -> ApiError:
    meta = ApiResponseMeta(status, "1.1", HttpHeaders(), 0.0, NodeConfig("http", "localhost", 9200))
    return ApiError("", meta, {"error": {"type": kind, "reason": ""}})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answered(401), "credentials"),
        (answered(429), "overloaded"),
        (answered(413), "rejected"),
        (answered(503), "other"),
        (ConnectionTimeout(""), "timeout"),
        (ConnectionError(""), "unreachable"),
    ],
)
def test_a_failed_request_counts_by_its_kind(error: ApiError | TransportError, kind: str) -> None:
    before = value(ERRORS, "headrace_store_errors_total", kind=kind)
    request_error(error, 10)
    assert value(ERRORS, "headrace_store_errors_total", kind=kind) == before + 1


def test_a_bulk_request_with_failed_items_counts_once_for_each_kind() -> None:
    kinds = ("overloaded", "rejected")
    before = [value(ERRORS, "headrace_store_errors_total", kind=kind) for kind in kinds]
    busy = item_error(429, {"type": "es_rejected_execution_exception", "reason": ""})
    refused = item_error(400, {"type": "document_parsing_exception", "reason": ""})
    count_refused("elasticsearch", [busy, refused, busy])
    assert [value(ERRORS, "headrace_store_errors_total", kind=kind) for kind in kinds] == [one + 1 for one in before]


async def test_a_call_is_measured_also_with_other_options() -> None:
    name = "headrace_store_call_seconds_count"
    before = [value(CALL_SECONDS, name, operation=operation) for operation in ("check", "search")]
    async with connect(NOWHERE) as client:
        with pytest.raises(ConnectionError):
            await client.options(request_timeout=1).cluster.health()
        with pytest.raises(ConnectionError):
            await client.search(index="any")
    after = [value(CALL_SECONDS, name, operation=operation) for operation in ("check", "search")]
    assert after == [one + 1 for one in before]
