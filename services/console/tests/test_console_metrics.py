"""The console counts its requests by page, and shows the numbers only to programs on its machine."""

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from headrace_console.app import protected

TOKEN = "a token that is long enough"
ORIGIN = "http://127.0.0.1:8484"
SECRET = "s3cr3t-id"


def asking(application: FastAPI, client: str = "127.0.0.1") -> httpx.AsyncClient:
    """A client at that address. Each is in front of a console of its own, whose numbers begin at 0."""
    transport = httpx.ASGITransport(protected(application), raise_app_exceptions=False, client=(client, 5000))
    return httpx.AsyncClient(transport=transport, base_url=ORIGIN)


def counted(text: str, name: str) -> dict[tuple[str, ...], float]:
    """Label values, in the order of the labels' names, to number."""
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples if one.name == name]
    assert all(one.labels.pop("worker") == "console" for one in samples)
    return {tuple(value for _, value in sorted(one.labels.items())): one.value for one in samples}


async def test_requests_and_sign_ins_are_counted_by_page_without_their_values(application: FastAPI) -> None:
    async with asking(application) as http:
        await http.post("/sign-in", data={"token": "wrong", "name": "Eve"}, headers={"origin": ORIGIN})
        signed_in = await http.post("/sign-in", data={"token": TOKEN, "name": "Ann"}, headers={"origin": ORIGIN})
        assert signed_in.status_code == 303
        for _ in range(3):
            await http.get(f"/jobs/{SECRET}")
        await http.get(f"/{SECRET}")
        await http.request(SECRET.upper(), "/")
        text = (await http.get("/metrics")).text
    assert counted(text, "headrace_console_sign_ins_total") == {("refused",): 1, ("accepted",): 1}
    requests = counted(text, "headrace_console_requests_total")
    assert requests["POST", "/sign-in", "303"] == 1
    assert requests["GET", "/jobs/{id}", "404"] == 3
    assert {method for method, _, _ in requests} == {"GET", "POST", "other"}
    assert counted(text, "headrace_console_request_seconds_count")["/sign-in",] == 2
    assert not [word for word in (SECRET, "Ann", "Eve", TOKEN) if word.lower() in text.lower()]


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("192.0.2.7", {}),
        ("127.0.0.1", {"x-forwarded-for": "192.0.2.7"}),
        ("127.0.0.1", {"forwarded": "for=192.0.2.7"}),
        ("", {}),
    ],
)
async def test_nobody_elsewhere_reads_the_numbers(application: FastAPI, client: str, headers: dict[str, str]) -> None:
    async with asking(application, client) as http:
        answer = await http.get("/metrics", headers=headers)
    assert (answer.status_code, "headrace_" in answer.text) == (401, False)


async def test_a_host_name_of_a_proxy_does_not_show_the_numbers(application: FastAPI) -> None:
    application.state.options.allowed_hosts = "console.example"
    async with asking(application) as http:
        answer = await http.get("/metrics", headers={"host": "console.example"})
    assert (answer.status_code, "headrace_" in answer.text) == (401, False)
