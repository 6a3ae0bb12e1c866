"""The settings that the console refuses."""

import pytest
from pydantic import ValidationError

from headrace_console.settings import ConsoleOptions, ConsoleSettings

TLS = {"tls_cert_file": "/etc/console.pem", "tls_key_file": "/etc/console.key"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "console.example"])
def test_an_address_other_than_loopback_needs_tls_or_allow_http(host: str) -> None:
    with pytest.raises(ValidationError, match="sends the token in clear"):
        ConsoleOptions(host=host, allowed_hosts="console.example")
    ConsoleOptions(host=host, allowed_hosts="console.example", **TLS)
    ConsoleOptions(host=host, allowed_hosts="console.example", allow_http=True)


def test_an_address_other_than_loopback_needs_allowed_hosts() -> None:
    with pytest.raises(ValidationError, match="ALLOWED_HOSTS"):
        ConsoleOptions(host="0.0.0.0", **TLS)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_a_loopback_address_needs_no_settings(host: str) -> None:
    options = ConsoleOptions(host=host)
    assert (options.encrypted, options.called) == (False, host)


def test_the_printed_url_has_the_first_allowed_host() -> None:
    options = ConsoleOptions(host="0.0.0.0", allowed_hosts="console.example, localhost", allow_http=True)
    assert options.called == "console.example"
    assert {"console.example", "localhost", "127.0.0.1"} <= options.names


@pytest.mark.parametrize("hosts", ["*", "*.example", "console.example, *"])
def test_a_pattern_is_refused_as_an_allowed_host(hosts: str) -> None:
    with pytest.raises(ValidationError, match="full names"):
        ConsoleOptions(allowed_hosts=hosts)


@pytest.mark.parametrize("given", [{"tls_cert_file": "a"}, {"tls_key_file": "a"}])
def test_a_certificate_without_its_key_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="together"):
        ConsoleOptions(**given)


@pytest.mark.parametrize(
    "workers", ["qdrant", "qdrant=", "=http://127.0.0.1:1", "qdrant=file:///etc/passwd", "a=http://u:p@h"]
)
def test_a_wrong_address_of_a_worker_is_refused(workers: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ConsoleOptions(workers=workers)
    assert "WORKERS" in str(refused.value)


def test_addresses_of_workers_are_read() -> None:
    options = ConsoleOptions(workers="qdrant=http://127.0.0.1:9001/, embed = https://embed.example")
    assert options.worker_urls == {"qdrant": "http://127.0.0.1:9001", "embed": "https://embed.example"}


def test_the_token_is_in_no_repr_and_a_short_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CONSOLE__TOKEN", "a-secret-of-some-length")
    settings = ConsoleSettings()
    assert "a-secret" not in f"{settings!r} {settings.model_dump_json()}"
    monkeypatch.setenv("HEADRACE_CONSOLE__TOKEN", "short")
    with pytest.raises(ValidationError, match="at least 16"):
        ConsoleSettings()
