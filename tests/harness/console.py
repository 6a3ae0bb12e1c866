"""The console as a process, and Chromium as its user."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

START_WITHIN = 60.0
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LAPTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}


class ConsoleProcess:
    """`headrace console` on a free port. `url`: the printed address, with the token."""

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        self._environment = environment
        self._errors = directory / "console.log"
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return self.url.partition("/sign-in")[0]

    def start(self) -> None:
        """Returns when the console has printed its address. It may answer a moment later."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        with self._errors.open("a") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "headrace_cli", "console", "--port", "0"],
                env=inherited | dict(self._environment),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().removeprefix("the console is at ").strip()
        assert self.url.startswith("http://127.0.0.1:"), self._errors.read_text()

    def kill(self) -> None:
        """Sends SIGKILL and returns once the process is gone. Raises AssertionError if anything else ended it."""
        assert self._process is not None
        self._process.kill()
        assert self._process.wait() == -signal.SIGKILL
        self._close()

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit status."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(15)
        finally:
            self.end()

    def end(self) -> None:
        """Kills the process if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._close()

    def log(self) -> str:
        """Returns the log so far."""
        return self._errors.read_text()

    def _close(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()


class Operator:
    """A person with a browser. `complaints`: errors, warnings and dialogs that the browser reported."""

    def __init__(self, page: Page, console: ConsoleProcess) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._console = console
        page.on("console", self._on_message)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", self._on_dialog)

    async def sign_in(self, name: str = "on-call") -> None:
        """Signs in with the link that the console printed."""
        await self.page.goto(self._console.url, timeout=1000 * START_WITHIN)
        await self.page.get_by_label("Your name").fill(name)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.get_by_role("heading", name="Freshness", level=1).wait_for()

    async def visit(self, path: str) -> Any:
        """Opens a path of the console and returns the response."""
        return await self.page.goto(self._console.origin + path)

    async def tab_to(self, words: str, most: int = 80) -> None:
        """Presses Tab until the element with these words or this label has the focus; the focus must be visible."""
        for _ in range(most):
            await self.page.keyboard.press("Tab")
            focused = await self.page.evaluate(_FOCUSED)
            if words in focused["words"]:
                assert focused["outline"] != "none", f"the focus on {words!r} cannot be seen"
                return
        raise AssertionError(f"Tab never reaches {words!r}")

    def _on_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    async def _on_dialog(self, dialog: Any) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        await dialog.dismiss()


_FOCUSED = """() => {
    const one = document.activeElement;
    const labels = [...(one.labels || [])].map((label) => label.innerText);
    const words = [one.innerText, one.getAttribute("aria-label"), one.value, ...labels].join(" ");
    return { words, outline: getComputedStyle(one).outlineStyle };
}"""


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Starts a headless Chromium. As root it runs only without its sandbox.

    Without one on the path, playwright looks for Chrome. Raises playwright's Error if there is none; `make test`
    installs Chromium where it has the right to.
    """
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable, channel=None if executable else "chrome", args=arguments
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def at_the_console(
    browser: Browser,
    console: ConsoleProcess,
    *,
    scheme: Literal["light", "dark"] = "light",
    viewport: Any = LAPTOP,
    javascript: bool = True,
) -> AsyncIterator[Operator]:
    """An operator with new cookies who has not signed in yet."""
    context: BrowserContext = await browser.new_context(
        color_scheme=scheme, viewport=viewport, java_script_enabled=javascript
    )
    context.set_default_timeout(30_000)
    try:
        yield Operator(await context.new_page(), console)
    finally:
        await context.close()
