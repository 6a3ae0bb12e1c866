"""The connection to Elasticsearch."""

import logging
from typing import Any

import orjson
from elastic_transport import ApiResponse
from elasticsearch import AsyncElasticsearch
from elasticsearch.serializer import JsonSerializer, NdjsonSerializer

from headrace_elasticsearch.errors import STORE
from headrace_elasticsearch.settings import ElasticsearchSettings
from headrace_worker.store_calls import CALL_SECONDS, Operation

# At DEBUG this logger writes every request out, with the key and the documents.
logging.getLogger("elastic_transport.node").setLevel(logging.INFO)


OPERATIONS: dict[str | None, Operation] = {
    "bulk": "write",
    "mget": "read",
    "search": "search",
    "cluster.health": "check",
}
"""What the client's calls do, by the name of Elasticsearch's API."""


class Json(JsonSerializer):
    """Reads answers with orjson: that to a bulk request has an object for each document."""

    def json_loads(self, data: bytes) -> Any:
        return orjson.loads(data)


class Lines(NdjsonSerializer):
    """Sends the body of a bulk request as it is: the client's own serializer copies it twice."""

    def dumps(self, data: Any) -> bytes:
        return data if isinstance(data, bytes) else super().dumps(data)


class MeasuredElasticsearch(AsyncElasticsearch):
    """A client that measures each of its calls."""

    async def perform_request(
        self, method: str, path: str, *, endpoint_id: str | None = None, **options: Any
    ) -> ApiResponse[Any]:
        """Every call of the client runs through this."""
        with CALL_SECONDS.labels(STORE, OPERATIONS.get(endpoint_id, "other")).time():
            return await super().perform_request(method, path, endpoint_id=endpoint_id, **options)


def connect(settings: ElasticsearchSettings) -> AsyncElasticsearch:
    """A client that does not retry: the runtime retries, and reports which store is unavailable."""
    return MeasuredElasticsearch(
        settings.url,
        **_account(settings),
        request_timeout=settings.timeout,
        max_retries=0,
        retry_on_timeout=False,
        serializers={serializer.mimetype: serializer for serializer in (Json(), Lines())},
        **_trust(settings),
    )


def _account(settings: ElasticsearchSettings) -> dict[str, Any]:
    if settings.username and settings.password:
        return {"basic_auth": (settings.username, settings.password.get_secret_value())}
    return {"api_key": settings.api_key.get_secret_value()} if settings.api_key else {}


def _trust(settings: ElasticsearchSettings) -> dict[str, Any]:
    """The authority to trust for https; without a setting, the public authorities of the client."""
    if settings.ca_fingerprint:
        # A second TLS library is imported only for a pinned authority.
        from headrace_elasticsearch.pinned_node import PinnedNode

        return {"ssl_assert_fingerprint": settings.ca_fingerprint, "node_class": PinnedNode}
    return {"ca_certs": settings.ca_file} if settings.ca_file else {}
