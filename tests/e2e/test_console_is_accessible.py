"""axe-core checks every page of the console in light and dark; every page fits a phone."""

from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlencode

import pytest
from axe_playwright_python.async_playwright import Axe
from harness.bad_deploy import DEAREST, BadDeploy
from harness.console import LAPTOP, PHONE, ConsoleProcess, Operator, at_the_console
from playwright.async_api import Browser

from headrace_letters.letter import Letter
from headrace_letters.selection import Selection

pytestmark = pytest.mark.asyncio(loop_scope="module")

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules about colours. At the same width, light and dark differ in nothing else."""
PATHS = (
    "/", "/causes", "/letters", "/replay", "/replay/confirm?canary=1&rate=5&why=mended", "/replay/confirm?canary=many",
    "/park", "/discard", "/replays", "/workers", "/entities", "/entities?kind=product&id=dear",
    "/entities/receipts?kind=product&id=dear", "/audit", "/nothing/here",
)  # fmt: skip
WIDTHS = "[document.documentElement.scrollWidth, window.innerWidth]"
BROKEN = "[...document.querySelectorAll('.rows .chip')].filter(c => c.offsetHeight > 40).map(c => c.innerText)"
"""The words for states that do not stand on one line."""


async def violations(operator: Operator, rules: Sequence[str]) -> list[str]:
    """The violations of these rules that axe-core finds, with their elements."""
    found = await Axe().run(operator.page, options={"runOnly": rules})
    return [
        f"{operator.page.url}: {violation['id']}: {node['html'][:200]} {node['failureSummary']}"
        for violation in found.response["violations"]
        for node in violation["nodes"]
    ]


async def test_axe_finds_no_violation_on_any_page(deploy: BadDeploy, console: ConsoleProcess, browser: Browser) -> None:
    await deploy.add_constraint()
    await deploy.publish(
        {f"cheap-{number}": 1.0 for number in range(20)} | {"dear": DEAREST + 1.0, f"dear-{'x' * 200}": 999.0}
    )
    await deploy.waiting(2)
    (first, *_) = (await deploy.installation.index.page(Selection())).letters
    looks: list[tuple[Literal["light", "dark"], dict[str, int], list[str]]] = [
        ("light", LAPTOP, RULES),
        ("dark", PHONE, RULES),
        ("dark", LAPTOP, COLOURS),
    ]
    for scheme, viewport, rules in looks:
        async with at_the_console(browser, console, scheme=scheme, viewport=viewport) as operator:
            assert await everywhere(operator, console, first.letter, rules) == []


async def everywhere(operator: Operator, console: ConsoleProcess, letter: Letter, rules: Sequence[str]) -> list[str]:
    """The violations on all pages, including the sign-in, a preview and a replay."""
    page = operator.page
    await page.goto(console.origin + "/sign-in", timeout=60_000)
    found = await violations(operator, rules)
    await operator.sign_in()
    own = [f"/group?fingerprint={letter.fingerprint}", "/letter?" + urlencode({"id": letter.id})]
    for path in [*own, *PATHS]:
        await operator.visit(path)
        found += await violations(operator, rules)
        needed, there = await page.evaluate(WIDTHS)
        found += [f"{path} is wider than the screen"] if needed > there else []
        found += [f"{path} breaks {words!r}" for words in await page.evaluate(BROKEN)]
    await operator.visit("/letters")
    await page.get_by_role("button", name="Preview a replay").click()
    await page.get_by_role("link", name="Replay these…").wait_for()
    found += await violations(operator, rules)
    await operator.visit("/replay/confirm?canary=0&limit=1")
    await page.get_by_role("button", name="Replay now").click()
    await page.get_by_role("link", name="Open the letters").wait_for()
    return found + await violations(operator, rules)


async def test_no_status_is_shown_by_colour_alone(deploy: BadDeploy, operator: Operator) -> None:
    await deploy.add_constraint()
    await deploy.publish({f"cheap-{number}": 1.0 for number in range(20)} | {"dear": 999.0})
    await deploy.waiting(1)
    await operator.visit("/letters")
    chips = operator.page.locator(".chip, .tile-name, .part-name")
    assert await chips.count() > 0
    for number in range(await chips.count()):
        chip = chips.nth(number)
        assert (await chip.inner_text()).strip()
        assert await chip.locator("svg.icon path").count() == 1
