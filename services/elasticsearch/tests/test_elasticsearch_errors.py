"""An error is about the data only if its type is in a list; every other error means that the store is unavailable."""

from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError, ConnectionTimeout

from headrace_elasticsearch.errors import item_error, request_error
from headrace_worker.stage import BatchRejected, NoAnswer, Rejected, Unavailable


def api_error(status: int, body: Any) -> ApiError:
    node = NodeConfig("http", "127.0.0.1", 9200)
    return ApiError("refused", ApiResponseMeta(status, "1.1", HttpHeaders(), 0.0, node), body)


@pytest.mark.parametrize(
    ("status", "error_type", "suspect"),
    [
        (404, "index_not_found_exception", False),
        (403, "cluster_block_exception", False),
        (429, "es_rejected_execution_exception", False),
        (503, "unavailable_shards_exception", False),
        (400, "index_closed_exception", False),
        (400, "illegal_argument_exception", True),
        (400, "some_new_exception", True),
        (500, "null_pointer_exception", True),
    ],
)
def test_an_item_error_that_is_in_no_list_is_unavailable(status: int, error_type: str, suspect: bool) -> None:
    outcome = item_error(status, {"type": error_type, "reason": "no write index is defined for alias [products]"})

    assert isinstance(outcome, Unavailable)
    assert outcome.suspect is suspect


PRESSURE = (
    "rejected execution of coordinating operation [coordinating_and_primary_bytes=0, replica_bytes=0, all_bytes=0, "
    "coordinating_operation_bytes={needed}, max_coordinating_bytes=20480]"
)
BREAKER = (
    "[parent] Data too large, data for [<http_request>] would be [{needed}/9.9mb], which is larger than the limit of "
    "[20480/20kb], real usage: [20000/19kb], new bytes reserved: [{needed}/9.9mb]"
)


@pytest.mark.parametrize("reason", [PRESSURE, BREAKER])
def test_a_request_above_the_limit_of_a_node_is_too_large_and_an_overload_is_not(reason: str) -> None:
    for needed, limit_passed in ((20_481, True), (20_480, False), (100, False)):
        body = {"error": {"type": "es_rejected_execution_exception", "reason": reason.format(needed=needed)}}
        meant = request_error(api_error(429, body), needed)
        assert isinstance(meant, BatchRejected if limit_passed else Unavailable)
        alone = item_error(429, body["error"], needed, alone=True)
        assert isinstance(alone, Rejected if limit_passed else Unavailable)
        among_others = item_error(429, body["error"], needed)
        assert isinstance(among_others, Unavailable)
        assert among_others.suspect is limit_passed
        if isinstance(meant, BatchRejected):
            assert (meant.rejection.reason, meant.rejection.cause) == ("too_large", ("elasticsearch", "429"))


def test_an_immense_term_is_a_data_error_whatever_reports_it() -> None:
    reason = 'Document contains at least one immense term in field="brand.keyword" (whose UTF8 encoding is longer …)'

    outcome = item_error(400, {"type": "illegal_argument_exception", "reason": reason})

    assert isinstance(outcome, Rejected)
    assert outcome.cause == ("elasticsearch", "illegal_argument_exception", "brand.keyword")


def test_a_name_that_is_not_in_the_mapping_is_not_in_a_cause() -> None:
    outcome = item_error(400, {"type": "document_parsing_exception", "reason": "failed to parse field [Ann Example] …"})

    assert isinstance(outcome, Rejected)
    assert outcome.cause == ("elasticsearch", "document_parsing_exception")


@pytest.mark.parametrize(
    ("status", "body", "suspect"),
    [
        (500, {"error": {"type": "null_pointer_exception", "reason": "…"}}, True),
        (400, {"error": {"type": "media_type_header_exception", "reason": "…"}}, True),
        (400, {"error": "no handler found for uri"}, True),
        (400, "Bad Request", True),
        (401, {"error": {"type": "security_exception", "reason": "…"}}, False),
        (403, {"error": {"type": "security_exception", "reason": "…"}}, False),
        (404, {"error": {"type": "index_not_found_exception", "reason": "…"}}, False),
        (429, {"error": {"type": "circuit_breaking_exception", "reason": "…"}}, False),
        (502, "<html>", False),
        (503, None, False),
    ],
)
def test_a_failed_request_is_unavailable_and_suspect_only_after_an_internal_error(
    status: int, body: Any, suspect: bool
) -> None:
    outcome = request_error(api_error(status, body), 100)

    assert isinstance(outcome, Unavailable)
    assert outcome.suspect is suspect


def test_a_request_refused_for_its_content_rejects_the_batch() -> None:
    body = {"error": {"type": "action_request_validation_exception", "reason": "id [x] is too long"}}

    outcome = request_error(api_error(400, body), 100)

    assert isinstance(outcome, BatchRejected)
    assert outcome.rejection.cause == ("elasticsearch", "action_request_validation_exception")


def test_a_timeout_is_no_answer_and_its_text_contains_nothing_of_the_request() -> None:
    outcome = request_error(ConnectionTimeout("timed out on {…}"), 100)
    assert isinstance(outcome, NoAnswer)
    assert str(outcome) == "elasticsearch: ConnectionTimeout"
