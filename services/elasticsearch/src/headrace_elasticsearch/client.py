"""The connection to Elasticsearch."""

import logging
from typing import Any

from elasticsearch import AsyncElasticsearch

from headrace_elasticsearch.settings import ElasticsearchSettings

# At DEBUG this logger writes every request out, with the key and the documents.
logging.getLogger("elastic_transport.node").setLevel(logging.INFO)


def connect(settings: ElasticsearchSettings) -> AsyncElasticsearch:
    """A client that does not retry: the runtime retries, and reports which store is unavailable."""
    return AsyncElasticsearch(
        settings.url,
        api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        request_timeout=settings.timeout,
        max_retries=0,
        retry_on_timeout=False,
        **_trust(settings),
    )


def _trust(settings: ElasticsearchSettings) -> dict[str, Any]:
    """The authority to trust for https; without a setting, the public authorities of the client."""
    if settings.ca_fingerprint:
        # A second TLS library is imported only for a pinned authority.
        from headrace_elasticsearch.pinned_node import PinnedNode

        return {"ssl_assert_fingerprint": settings.ca_fingerprint, "node_class": PinnedNode}
    return {"ca_certs": settings.ca_file} if settings.ca_file else {}
