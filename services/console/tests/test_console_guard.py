"""Nobody can sign in without the token, and no other site can act through the browser of an operator."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Mount

from headrace_console.app import create_app, protected
from headrace_console.guard.forms import MAX_FIELDS, MAX_FORM_BYTES
from headrace_console.guard.tokens import MAX_WRONG_TRIES
from headrace_console.settings import ConsoleSettings

TOKEN = "a token that is long enough"
ORIGIN = "http://127.0.0.1:8484"
OPEN = {"/sign-in", "/static"}


def routes(application: FastAPI, method: str) -> list[str]:
    """The paths of all routes of a method, with a value for each parameter."""
    found = []
    for included in application.routes:
        for route in getattr(getattr(included, "original_router", None), "routes", [included]):
            if not isinstance(route, Mount) and method in route.methods:
                found.append(re.sub(r"{.*?}", "x", route.path))
    return found


async def test_every_page_sends_a_stranger_to_the_sign_in(application: FastAPI, stranger: httpx.AsyncClient) -> None:
    paths = [path for path in routes(application, "GET") if path not in OPEN]
    assert len(paths) > 12
    for path in paths:
        answer = await stranger.get(path)
        assert (answer.status_code, answer.headers.get("location")) == (303, "/sign-in"), path
        assert (await stranger.get(path, headers={"accept": "*/*"})).status_code == 401, path


async def test_no_form_is_accepted_without_the_secret_of_the_session(
    application: FastAPI, operator: httpx.AsyncClient
) -> None:
    paths = [path for path in routes(application, "POST") if path not in OPEN]
    assert len(paths) >= 6
    for path in paths:
        for csrf in ("", "guessed"):
            answer = await operator.post(path, data={"csrf": csrf}, headers={"origin": ORIGIN})
            assert answer.status_code == 403, path


async def test_no_form_is_accepted_from_another_origin(application: FastAPI, operator: httpx.AsyncClient) -> None:
    csrf = await csrf_of(operator)
    elsewhere: list[dict[str, str]] = [
        {},
        {"origin": "null"},
        {"origin": "https://127.0.0.1:8484"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://127.0.0.1.evil.example"},
        {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
        {"origin": ORIGIN, "sec-fetch-site": "same-site"},
    ]
    for path in routes(application, "POST"):
        for headers in elsewhere:
            answer = await operator.post(path, data={"csrf": csrf, "token": TOKEN, "name": "Eve"}, headers=headers)
            assert (answer.status_code, "own pages" in answer.text) == (403, True), (path, headers)
    assert (await operator.get("/replays")).status_code == 200
    assert (await operator.post("/sign-out", data={"csrf": csrf}, headers={"origin": ORIGIN})).status_code == 303
    assert (await operator.get("/replays")).status_code == 303


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8484", "evil.example:127.0.0.1", "", "[::2]"])
async def test_a_foreign_host_name_is_refused(operator: httpx.AsyncClient, host: str) -> None:
    for path in ("/", "/sign-in", "/static/console.css"):
        answer = await operator.get(path, headers={"host": host})
        assert (answer.status_code, "Headrace" in answer.text) == (400, False)


@pytest.mark.parametrize("host", ["127.0.0.1:8484", "localhost:8484", "LOCALHOST", "[::1]:8484"])
async def test_the_loopback_names_are_accepted(stranger: httpx.AsyncClient, host: str) -> None:
    assert (await stranger.get("/sign-in", headers={"host": host})).status_code == 200


async def test_the_token_of_the_link_is_exchanged_for_a_cookie_and_leaves_the_address(
    stranger: httpx.AsyncClient,
) -> None:
    answer = await stranger.get("/sign-in", params={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    page = await stranger.get("/sign-in")
    assert 'name="token"' not in page.text
    assert (await stranger.get("/replays")).status_code == 303, "a name is still missing"
    csrf = re.findall('name="csrf" value="(.+?)"', page.text)[0]
    before = dict(stranger.cookies)
    named = await stranger.post("/sign-in", data={"csrf": csrf, "name": "on-call"}, headers={"origin": ORIGIN})
    assert named.headers["location"] == "/"
    assert dict(stranger.cookies) != before, "a session from before the sign-in is not valid"
    assert "on-call" in (await stranger.get("/replays")).text


async def test_a_wrong_token_is_refused_and_many_block_the_sign_in(stranger: httpx.AsyncClient) -> None:
    for _ in range(MAX_WRONG_TRIES):
        answer = await stranger.get("/sign-in", params={"token": "wrong"})
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert (await stranger.get("/sign-in", params={"token": TOKEN})).status_code == 429


@pytest.mark.parametrize("name", ["", " ", "x" * 81, "on-call\x1b[31m", "on-call\u202e"])
async def test_a_name_is_short_and_printable(stranger: httpx.AsyncClient, name: str) -> None:
    answer = await stranger.post("/sign-in", data={"token": TOKEN, "name": name}, headers={"origin": ORIGIN})
    assert answer.status_code == 400
    assert (await stranger.get("/replays")).status_code == 303


async def test_every_answer_forbids_foreign_scripts_frames_and_type_guessing(
    application: FastAPI, operator: httpx.AsyncClient
) -> None:
    broken = [
        await operator.get("/causes"),
        await operator.get("/no-such-page"),
        await operator.get("/", headers={"host": "evil.example"}),
    ]
    assert [answer.status_code for answer in broken] == [503, 404, 400]
    for answer in [*broken, *[await operator.get(path) for path in routes(application, "GET")]]:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "secret" not in answer.text
        assert not re.search(r"<script(?! src=\"/static/)|\son\w+=|javascript:|style=", answer.text)


async def csrf_of(client: httpx.AsyncClient) -> str:
    """The secret of the client's session."""
    return re.findall('name="csrf" value="(.+?)"', (await client.get("/replays")).text)[0]


async def test_a_form_that_is_too_large_is_refused_before_anything_is_done(operator: httpx.AsyncClient) -> None:
    form = {"csrf": await csrf_of(operator), "why": "x" * MAX_FORM_BYTES}
    answer = await operator.post("/park", data=form, headers={"origin": ORIGIN})
    assert answer.status_code == 413
    small = await operator.post("/park", data=form | {"why": "x"}, headers={"origin": ORIGIN})
    assert small.status_code == 503, "the smaller form reaches the index, which does not answer"


async def test_a_form_of_unknown_size_is_refused_when_it_becomes_too_large(operator: httpx.AsyncClient) -> None:
    csrf = await csrf_of(operator)

    async def chunks() -> AsyncIterator[bytes]:
        yield f"csrf={csrf}&why=".encode()
        for _ in range(MAX_FORM_BYTES // 1024):
            yield b"x" * 1024

    headers = {"origin": ORIGIN, "content-type": "application/x-www-form-urlencoded"}
    assert (await operator.post("/park", content=chunks(), headers=headers)).status_code == 413


async def test_a_form_of_too_many_fields_is_refused_before_anything_is_done(operator: httpx.AsyncClient) -> None:
    csrf = await csrf_of(operator)

    async def status(fields: int) -> int:
        form = {"csrf": csrf} | {f"f{number}": "x" for number in range(fields - 1)}
        return (await operator.post("/park", data=form, headers={"origin": ORIGIN})).status_code

    assert (await status(MAX_FIELDS), await status(MAX_FIELDS + 1)) == (503, 400)


async def test_a_file_is_refused_before_anything_is_done(operator: httpx.AsyncClient) -> None:
    form = {"csrf": await csrf_of(operator)}
    answer = await operator.post("/park", data=form, files={"why": b"x"}, headers={"origin": ORIGIN})
    assert answer.status_code == 400


async def test_a_host_without_its_www_is_not_redirected_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CONSOLE__ALLOWED_HOSTS", "www.console.example")
    transport = httpx.ASGITransport(protected(create_app(ConsoleSettings(), TOKEN, port=8484)))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        assert (await client.get("/sign-in", headers={"host": "console.example"})).status_code == 400
        assert (await client.get("/sign-in", headers={"host": "www.console.example"})).status_code == 200
