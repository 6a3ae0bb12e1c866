"""Settings of the console, and the addresses that it refuses to listen on."""

import ipaddress
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, model_validator

from headrace_letters.index_settings import IndexSettings

DEFAULT_PORT = 8484
LEAST_TOKEN_LENGTH = 16
TRACE_ID = "{trace_id}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listed(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


def _pairs(words: str) -> list[tuple[str, str, str]]:
    return [pair.partition("=") for pair in _listed(words)]


class ConsoleOptions(BaseModel):
    """Where the console listens, and who may sign in."""

    host: str = Field("127.0.0.1", description="address to listen on; others than loopback need TLS or ALLOW_HTTP")
    port: int = Field(DEFAULT_PORT, ge=0, le=65535, description="port to listen on; 0: any free port")
    token: SecretStr | None = Field(
        None,
        min_length=LEAST_TOKEN_LENGTH,
        description="token to sign in with; default: created at each start and printed once, in the URL",
    )
    allowed_hosts: str = Field(
        "", description="further host names of the console, separated by commas; the loopback names are always allowed"
    )
    tls_cert_file: str | None = Field(None, description="PEM file of the server's certificate")
    tls_key_file: str | None = Field(None, description="PEM file of the server's key")
    allow_http: bool = Field(False, description="listen on other addresses without TLS, behind a proxy that ends TLS")
    session_hours: float = Field(12.0, gt=0, le=168, description="hours until an operator must sign in again")
    workers: str = Field(
        "", description="addresses of the workers' /readyz and /metrics: name=URL, separated by commas"
    )

    trace_url: str = Field(
        "",
        description="address of a trace in the trace store, with {trace_id} in it: the page of an entity links to it",
    )

    def trace_of(self, trace_id: str | None) -> str | None:
        """The address of a trace; None without a trace or the setting."""
        return self.trace_url.replace(TRACE_ID, trace_id) if trace_id and self.trace_url else None

    @property
    def encrypted(self) -> bool:
        """Whether it serves https."""
        return self.tls_cert_file is not None

    @property
    def called(self) -> str:
        """A host name for the printed URL."""
        return self.host if _is_loopback(self.host) else _listed(self.allowed_hosts)[0]

    @property
    def names(self) -> frozenset[str]:
        """The allowed values of a request's Host header, without port."""
        return frozenset({"127.0.0.1", "localhost", "[::1]", *_listed(self.allowed_hosts.lower())})

    @property
    def worker_urls(self) -> dict[str, str]:
        """The address of each worker by name, without a slash at the end."""
        return {name.strip(): url.strip().rstrip("/") for name, _, url in _pairs(self.workers)}

    @model_validator(mode="after")
    def _hosts_are_full_names(self) -> Self:
        # TrustedHostMiddleware would read * as a pattern.
        if "*" in self.allowed_hosts:
            raise ValueError("ALLOWED_HOSTS is a list of full names; * is not allowed")
        return self

    @model_validator(mode="after")
    def _a_trace_has_an_address(self) -> Self:
        parts = urlsplit(self.trace_url)
        if self.trace_url and not (parts.scheme in ("http", "https") and parts.hostname and TRACE_ID in self.trace_url):
            raise ValueError(
                "TRACE_URL is a URL with {trace_id} in it, for example http://127.0.0.1:16686/trace/{trace_id}"
            )
        return self

    @model_validator(mode="after")
    def _the_files_come_together(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("set TLS_CERT_FILE and TLS_KEY_FILE together")
        return self

    @model_validator(mode="after")
    def _another_address_is_protected(self) -> Self:
        if not _is_loopback(self.host):
            if not self.encrypted and not self.allow_http:
                raise ValueError(
                    f"listening on {self.host} sends the token in clear: set TLS_CERT_FILE and TLS_KEY_FILE, or "
                    "ALLOW_HTTP=true behind a proxy that ends TLS"
                )
            if not _listed(self.allowed_hosts):
                raise ValueError(f"listening on {self.host} needs ALLOWED_HOSTS: the host names of the console")
        return self

    @model_validator(mode="after")
    def _workers_have_addresses(self) -> Self:
        for name, separator, url in _pairs(self.workers):
            parts = urlsplit(url.strip())
            if not (name.strip() and separator and parts.scheme in ("http", "https") and parts.hostname):
                raise ValueError("WORKERS is a list of name=URL, for example qdrant=http://127.0.0.1:9001")
            if "@" in parts.netloc:
                raise ValueError("the console shows the URLs in WORKERS: leave credentials out")
        return self


class ConsoleSettings(IndexSettings):
    """Settings of Kafka, the index of dead letters, and the console."""

    console: ConsoleOptions = ConsoleOptions()
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="lowest level to log")
