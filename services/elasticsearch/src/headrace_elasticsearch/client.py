"""The connection to Elasticsearch."""

import logging
from typing import Any

from elasticsearch import AsyncElasticsearch

from headrace_elasticsearch.pinned import PinnedNode
from headrace_elasticsearch.settings import ElasticsearchSettings

# At DEBUG this logger writes every request out, with the key and the documents.
logging.getLogger("elastic_transport.node").setLevel(logging.INFO)


def connect(settings: ElasticsearchSettings) -> AsyncElasticsearch:
    """A client that does not retry: waiting and trying again is the worker's, which must know what it waits for."""
    pinned: dict[str, Any] = {"ssl_assert_fingerprint": settings.ca_fingerprint, "node_class": PinnedNode}
    return AsyncElasticsearch(
        settings.url,
        api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        request_timeout=settings.timeout,
        max_retries=0,
        retry_on_timeout=False,
        **(pinned if settings.ca_fingerprint else {}),
    )
