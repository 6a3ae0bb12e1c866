"""The content of a letter is shown and never runs: scripts, markup, binary, large values, right-to-left text."""

from typing import Any
from urllib.parse import urlencode

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from harness.bad_deploy import BadDeploy
from harness.console import ConsoleProcess, Operator, at_the_console
from harness.kafka_record import kafka_record
from harness.letters import send
from playwright.async_api import Browser, expect

from headrace_clients.kafka import client_options
from headrace_letters.selection import Selection
from headrace_runtime.publisher import Outgoing
from headrace_worker.stage import Rejected

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = "<script>document.title='owned';alert(1)</script>"
IMAGE = "<img src=x onerror=\"alert('owned')\"><svg onload=alert(2)>"
BACKWARDS = "\u202egnp.exe\u2066"
TERMINAL = "\x1b[31mred\x1b]0;owned\x07"
TEMPLATE = "{{ 7 * 7 }} ${7*7} {% include '/etc/passwd' %}"
HOSTILE = f"{SCRIPT}{IMAGE}{BACKWARDS}{TERMINAL}{TEMPLATE}\"'&amp;javascript:alert(3)"
PAGES = ("/", "/causes", "/causes?all=true", "/letters", "/replays", "/workers", "/audit", "/entities")
FIVE_MB = 5_000_000


def hostile_records() -> list[Any]:
    """Records with hostile values in all parts."""
    value = {"op": "upsert", "product_id": HOSTILE, "version": 3, "title": HOSTILE, HOSTILE: [HOSTILE, None]}
    headers = [(HOSTILE, HOSTILE.encode()), ("binary", bytes(range(256))), ("null", None), ("nul", b"a\x00b")]
    return [
        kafka_record(value, HOSTILE.encode(), offset=1, headers=headers),
        kafka_record(HOSTILE.encode(), b"\x00\xff<b>", offset=2),
        kafka_record(bytes(range(256)) * 8000, b"binary", offset=3),
        kafka_record(None, b"gone", offset=4),
        kafka_record(b'"\\ud800 ' + b"\\u202e" * 1000 + b'"', "مرحبا".encode(), offset=5),
        kafka_record(b"[" * 200_000, b"deep", offset=6),
    ]


async def no_harm(operator: Operator) -> None:
    """No script ran, nothing foreign was loaded, and no markup of the letter is on the page."""
    assert operator.complaints == []
    assert await operator.page.title() != "owned"
    foreign = "main script, main img, main iframe, main svg[onload], [onerror], main a[href^='javascript:']"
    assert await operator.page.locator(foreign).count() == 0
    shown = await operator.page.locator("main").inner_text()
    assert "\u202e" not in shown
    assert "\x1b" not in shown
    assert "root:" not in shown


async def test_every_page_shows_hostile_letters_escaped(deploy: BadDeploy, operator: Operator) -> None:
    records = hostile_records()
    await deploy.send_letters(records, Rejected("refused_by_store", HOSTILE, (HOSTILE,)))
    await deploy.waiting(len(records))
    for path in PAGES:
        assert (await operator.visit(path)).status == 200, path
        await no_harm(operator)
    found = await deploy.installation.index.page(Selection(), limit=50)
    for one in found.letters:
        assert (await operator.visit("/letter?" + urlencode({"id": one.letter.id}))).status == 200
        await no_harm(operator)
        assert (await operator.visit("/group?" + urlencode({"fingerprint": one.letter.fingerprint}))).status == 200
        await no_harm(operator)
    assert (await operator.visit("/letters?" + urlencode({"key": HOSTILE}))).status == 200
    await expect(operator.page.locator("table.rows tbody tr")).to_have_count(1)
    await no_harm(operator)
    assert (await operator.visit("/entities?" + urlencode({"kind": "product", "id": HOSTILE}))).status == 200
    assert operator.complaints == []


async def test_hostile_text_is_readable(deploy: BadDeploy, operator: Operator) -> None:
    (first, *_) = hostile_records()
    await deploy.send_letters([first], Rejected("refused_by_store", HOSTILE, ("cause",)))
    await deploy.waiting(1)
    await operator.visit("/letters")
    await operator.page.locator("table.rows tbody th a").click()
    text = await operator.page.locator("main").inner_text()
    assert SCRIPT in text
    assert "\\u202egnp.exe\\u2066" in text
    assert "\\x1b[31mred" in text
    assert TEMPLATE in text
    assert "0x000102" in text, "a binary header is shown in hexadecimal"


@pytest.mark.parametrize("javascript", [True, False])
async def test_previews_replays_and_reasons_are_escaped(
    deploy: BadDeploy, console: ConsoleProcess, browser: Browser, javascript: bool
) -> None:
    await deploy.send_letters(hostile_records(), Rejected("invalid", HOSTILE, (HOSTILE,)))
    await deploy.waiting(6)
    async with at_the_console(browser, console, javascript=javascript) as operator:
        await operator.sign_in(f"Eve {SCRIPT}")
        page = operator.page
        await operator.visit("/letters")
        await page.get_by_role("button", name="Preview a replay").click()
        await page.get_by_role("link", name="Replay these…").click()
        assert operator.complaints == []
        await page.get_by_label("Why").fill(SCRIPT)
        await page.get_by_role("button", name="Continue").click()
        await expect(page.locator(".steps")).to_contain_text(SCRIPT)
        await page.get_by_role("button", name="Replay now").click()
        await page.get_by_role("link", name="Open the letters").wait_for()
        await operator.visit("/audit")
        await expect(page.locator("table.rows tbody tr").first).to_contain_text(f"Eve {SCRIPT}")
        assert await page.locator("main script").count() == 0
        assert operator.complaints == []


async def test_the_beginning_of_five_megabytes_is_shown_and_all_are_downloaded(
    deploy: BadDeploy, operator: Operator
) -> None:
    admin = AIOKafkaAdminClient(**client_options(deploy.installation.settings.kafka))
    await admin.start()
    limits = {"max.message.bytes": "16000000"}
    await admin.create_topics([NewTopic(deploy.foreign_topic, 1, 1, topic_configs=limits)])
    await admin.close()
    value = (SCRIPT * 200_000).encode()[:FIVE_MB]
    headers = [("__connect.errors.topic", b"orders"), ("__connect.errors.connector.name", b"jdbc-sink")]
    await send(deploy.installation.settings, [Outgoing(deploy.foreign_topic, b"large", value, headers)])
    await deploy.waiting(1)
    await operator.visit("/letters")
    await operator.page.locator("table.rows tbody th a").click()
    await no_harm(operator)
    main = operator.page.locator("main")
    await expect(main).to_contain_text("4.8 MiB, text; these are the first 16.0 KiB")
    await expect(main).to_contain_text("Kafka Connect")
    async with operator.page.expect_download() as downloading:
        await operator.page.get_by_role("link", name="Download").click()
    download = await downloading.value
    assert download.suggested_filename == "dead-letter.bin"
    assert (await download.path()).read_bytes() == value
