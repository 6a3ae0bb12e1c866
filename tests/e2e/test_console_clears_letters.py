"""The whole procedure in a real browser: list causes, open one, preview, replay, and see the letters resolved."""

import re
from typing import Any

import pytest
from harness.bad_deploy import DEAREST, BadDeploy
from harness.console import ConsoleProcess, Operator, at_the_console
from harness.letters import letter
from harness.records import eventually, product, publish
from playwright.async_api import Browser, expect

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEAR = {f"dear-{number:02d}": DEAREST + 1.0 + number for number in range(30)}
CHEAP = {f"cheap-{number:02d}": 5.0 for number in range(60)}
OVERTAKEN = dict.fromkeys(list(DEAR)[:6], 10.0)


async def refused(deploy: BadDeploy) -> None:
    """30 letters of one cause; newer versions of 6 of their products were applied afterwards."""
    await deploy.add_constraint()
    await deploy.publish(CHEAP | DEAR)
    await deploy.waiting(len(DEAR))
    await deploy.publish(OVERTAKEN, version=2)
    await eventually(lambda: _newer(deploy), within=60)


async def _newer(deploy: BadDeploy) -> bool:
    return await deploy.versions(list(OVERTAKEN)) == dict.fromkeys(OVERTAKEN, 2)


async def open_cause(operator: Operator) -> None:
    await operator.visit("/causes")
    await operator.page.get_by_role("link", name="Refused by the store").click()
    await expect(operator.page.get_by_role("heading", level=1)).to_have_text("Refused by the store")


async def part(operator: Operator, label: str) -> int:
    """The number of one bar of the chart."""
    row = operator.page.locator(".parts li", has_text=re.compile(rf"^\s*{label}"))
    return int((await row.locator(".part-count").inner_text()).replace(",", ""))


async def test_a_cause_is_listed_previewed_replayed_and_resolved(deploy: BadDeploy, operator: Operator) -> None:
    await refused(deploy)
    page = operator.page
    await open_cause(operator)
    await expect(page.locator("pre.said")).to_contain_text("not_dear")
    await expect(page.locator("table.rows tbody tr")).to_have_count(len(DEAR))

    await page.get_by_role("button", name="Preview a replay").click()
    await expect(page.locator(".summary")).to_have_text("24 of 30 would change a store.")
    assert (await part(operator, "Would be applied"), await part(operator, "Superseded")) == (24, 6)
    assert await deploy.statuses() == {"waiting": 30}, "a preview changes nothing"

    # The cause is not fixed yet: the canary fails and the others are not sent.
    await page.get_by_role("link", name="Replay these…").click()
    await page.get_by_label("Canary").fill("10")
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Replay 30 letters?")
    await page.get_by_role("button", name="Replay now").click()
    await page.get_by_role("link", name="Open the letters").wait_for()
    await expect(page.locator(".phase")).to_have_text("Stopped by itself")
    assert await part(operator, "Not sent") == 20

    await deploy.repair()
    await deploy.waiting(30 - 6 + await _overtaken_and_waiting(deploy))
    await open_cause(operator)
    await page.get_by_role("link", name="Replay…").first.click()
    await page.get_by_label("Why").fill("the constraint is gone")
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_role("button", name="Replay now").click()
    await page.get_by_role("link", name="Open the letters").wait_for()
    await expect(page.locator(".phase")).to_have_text("Done")
    await eventually(lambda: _nothing_waits(deploy), within=60)
    assert await deploy.versions(list(DEAR)) == {id: 2 if id in OVERTAKEN else 1 for id in DEAR}

    await operator.visit("/causes")
    await expect(page.get_by_role("heading", name="No open dead letters")).to_be_visible()
    await operator.visit("/audit")
    newest = page.locator("table.rows tbody tr").first
    await expect(newest).to_contain_text("on-call")
    await expect(newest).to_contain_text("the constraint is gone")
    await expect(newest).to_contain_text("done:")
    assert operator.complaints == []


async def _overtaken_and_waiting(deploy: BadDeploy) -> int:
    """The number of overtaken letters that were not in the canary and are still waiting."""
    return 6 - (await deploy.statuses()).get("superseded", 0)


async def _nothing_waits(deploy: BadDeploy) -> bool:
    return await deploy.statuses() == {"resolved": 24, "superseded": 6}


async def test_the_procedure_works_by_keyboard_alone(
    deploy: BadDeploy, console: ConsoleProcess, browser: Browser
) -> None:
    await deploy.add_constraint()
    await deploy.publish(CHEAP | DEAR)
    await deploy.waiting(len(DEAR))
    await deploy.repair()
    async with at_the_console(browser, console) as operator:
        page, keyboard = operator.page, operator.page.keyboard
        await page.goto(console.url, timeout=60_000)
        await keyboard.type("on-call")
        await keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Freshness")
        await keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.innerText") == "Skip to the content"
        await operator.tab_to("Refused by the store")
        await keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Refused by the store")
        await operator.tab_to("Preview a replay")
        await keyboard.press("Enter")
        await page.get_by_role("link", name="Replay these…").wait_for()
        await operator.tab_to("Replay these…")
        await keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Replay")
        await operator.tab_to("Canary")
        await operator.tab_to("Continue")
        await keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Replay 30 letters?")
        await operator.tab_to("Replay now")
        await keyboard.press("Enter")
        await page.get_by_role("link", name="Open the letters").wait_for()
    await eventually(lambda: _all_resolved(deploy), within=60)


async def test_the_procedure_works_without_javascript(
    deploy: BadDeploy, console: ConsoleProcess, browser: Browser
) -> None:
    await deploy.add_constraint()
    await deploy.publish(CHEAP | DEAR)
    await deploy.waiting(len(DEAR))
    await deploy.repair()
    async with at_the_console(browser, console, javascript=False) as operator:
        page = operator.page
        await operator.sign_in()
        await open_cause(operator)
        await page.get_by_role("button", name="Preview a replay").click()
        await page.locator(".summary").wait_for()
        await page.get_by_role("link", name="Replay these…").click()
        await page.get_by_role("button", name="Continue").click()
        await page.get_by_role("button", name="Replay now").click()
        await page.get_by_role("link", name="Open the letters").wait_for()
        # No worker here reads the source topic: version 9 is published and nowhere stored.
        settings = deploy.installation.settings
        await publish(settings, settings.topics.source("product"), [product("dear-00", 9)])
        await operator.visit("/entities?kind=product&id=dear-00")
        await expect(page.get_by_role("row").filter(has_text="pgvector").first).to_contain_text("Older than version 9")
        await page.get_by_role("link", name="Read the last receipts").click()
        await expect(page.locator("table.rows")).to_contain_text("Applied")
    await eventually(lambda: _all_resolved(deploy), within=60)


async def _all_resolved(deploy: BadDeploy) -> bool:
    return await deploy.statuses() == {"resolved": len(DEAR)}


async def test_chosen_letters_are_parked_and_discarded_with_a_reason(deploy: BadDeploy, operator: Operator) -> None:
    await deploy.add_constraint()
    await deploy.publish(CHEAP | DEAR)
    await deploy.waiting(len(DEAR))
    page = operator.page
    await open_cause(operator)
    await page.get_by_label("Choose the letter of dear-07").check()
    await page.get_by_label("Choose the letter of dear-08").check()
    await page.locator("#choose").get_by_role("button", name="Park…").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Park 2 letters?")
    await page.get_by_role("button", name="Park").click()
    assert await deploy.statuses() == {"waiting": 28, "parked": 2}

    await operator.visit("/letters?key=dear-09")
    await page.get_by_role("link", name="dear-09").click()
    await page.get_by_role("link", name="Discard…").click()
    await page.get_by_role("button", name="Discard").click()
    assert await deploy.statuses() == {"waiting": 28, "parked": 2}, "nothing is discarded without a reason"
    await page.get_by_label("Why").fill("sold out")
    await page.get_by_role("button", name="Discard").click()
    await expect(page.locator(".history")).to_contain_text("on-call discarded it")
    await expect(page.locator(".history")).to_contain_text("sold out")
    assert await deploy.statuses() == {"waiting": 27, "parked": 2, "discarded": 1}

    await operator.visit("/park?worker=pgvector")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Park 27 letters?")
    await deploy.installation.index.put_letters([letter("later", worker="pgvector")])
    await page.get_by_role("button", name="Park").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Letters")
    assert await deploy.statuses() == {"waiting": 1, "parked": 29, "discarded": 1}, "not the one that came later"
    assert operator.complaints == []

    await operator.visit("/park?worker=pgvector")
    await page.locator("input[name=counted]").evaluate("field => field.value = 'of a console that was restarted'")
    await page.get_by_role("button", name="Park").click()
    await expect(page.get_by_role("alert")).to_contain_text("Check the new number")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Park 1 letter?")
    assert (await deploy.statuses())["waiting"] == 1

    await operator.visit("/discard?worker=pgvector")
    of_discarding = await page.locator("input[name=counted]").get_attribute("value")
    await operator.visit("/park?worker=pgvector")
    await page.locator("input[name=counted]").evaluate("(field, id) => field.value = id", of_discarding)
    await page.get_by_role("button", name="Park").click()
    await expect(page.get_by_role("alert")).to_contain_text("Check the new number")
    assert (await deploy.statuses())["waiting"] == 1


async def test_a_console_that_is_killed_in_a_replay_loses_nothing_and_counts_nothing_twice(
    deploy: BadDeploy, console: ConsoleProcess, browser: Browser
) -> None:
    await deploy.add_constraint()
    await deploy.publish(CHEAP | DEAR)
    await deploy.waiting(len(DEAR))
    await deploy.repair()
    async with at_the_console(browser, console) as operator:
        await operator.sign_in()
        earlier = {place(record) for record in await deploy.installation.replays("pgvector")}
        await operator.visit("/replay/confirm?canary=0&rate=8")
        await operator.page.get_by_role("button", name="Replay now").click()
        await eventually(lambda: _some_resolved(deploy), within=60)
        console.kill()
    before = await deploy.statuses()
    assert 0 < before["resolved"] < len(DEAR)
    assert sum(before.values()) == len(DEAR)

    console.start()
    async with at_the_console(browser, console) as operator:
        await operator.sign_in()
        await operator.visit("/audit")
        await expect(operator.page.locator("table.rows tbody tr").first).to_contain_text("Not finished")
        await operator.visit("/replay/confirm?canary=0")
        await operator.page.get_by_role("button", name="Replay now").click()
        await operator.page.get_by_role("link", name="Open the letters").wait_for()
    await eventually(lambda: _all_resolved(deploy), within=60)
    assert await deploy.versions(list(DEAR)) == dict.fromkeys(DEAR, 1)
    replays = [one for one in await deploy.installation.replays("pgvector") if place(one) not in earlier]
    assert len({record.key for record in replays}) == len(DEAR)
    assert len(replays) <= len(DEAR) + 2, "only letters that the kill left unmarked are sent again"


def place(record: Any) -> tuple[int, int]:
    """Where a record of one topic is."""
    return record.partition, record.offset


async def _some_resolved(deploy: BadDeploy) -> bool:
    return (await deploy.statuses()).get("resolved", 0) >= 4


async def test_a_running_replay_is_stopped_by_its_button(deploy: BadDeploy, operator: Operator) -> None:
    await deploy.add_constraint()
    await deploy.publish(CHEAP | DEAR)
    await deploy.waiting(len(DEAR))
    await deploy.repair()
    await operator.visit("/replay/confirm?canary=0&rate=4")
    await operator.page.get_by_role("button", name="Replay now").click()
    await eventually(lambda: _some_resolved(deploy), within=60)
    await operator.page.get_by_role("button", name="Stop").click()
    await expect(operator.page.locator(".phase")).to_have_text("Stopped by an operator")
    statuses = await deploy.statuses()
    assert statuses["waiting"] > 0
    assert sum(statuses.values()) == len(DEAR)
    assert operator.complaints == []
