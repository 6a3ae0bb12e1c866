"""An error is about the data only if its type is in a list; every other error means that the store is unavailable."""

from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError, ConnectionTimeout

from headrace_elasticsearch.errors import item_error, request_error
from headrace_worker.stage import BatchRejected, Rejected, Unavailable


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


def test_the_text_of_a_timeout_contains_nothing_of_the_request() -> None:
    assert str(request_error(ConnectionTimeout("timed out on {…}"), 100)) == "elasticsearch: ConnectionTimeout"
