"""A person signs in once, with the browser's own question, and both servers' pages work."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
)  # fmt: skip
PATIENCE = 30_000
"""Milliseconds that a text may take to appear; one or two seconds are usual."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as browsers:
        found = browsers.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield found
        found.close()


def page_of(browser: Browser, credential: str) -> tuple[Page, list[str]]:
    """A page of somebody who types the credential, and what it complains about."""
    user, _, password = credential.partition(":")
    page = browser.new_context(http_credentials={"username": user, "password": password}).new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", lambda answer: wrong.append(answer.url) if answer.status in (400, 403) else None)
    return page, wrong


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("pages", ["", "/v2"])
def test_prefect(raised: Any, browser: Browser, name: str, pages: str) -> None:
    page, wrong = page_of(browser, raised.credential)
    at = raised["prefect"]["url"].replace("127.0.0.1", name) + pages
    page.goto(f"{at}/deployments", wait_until="domcontentloaded")
    expect(page.get_by_text("retrain").filter(visible=True).first).to_be_visible()
    page.goto(f"{at}/variables", wait_until="domcontentloaded")
    expect(page.get_by_text("Add a variable").filter(visible=True).first).to_be_visible()
    assert page.url.startswith(at), "no second sign-in"
    assert wrong == []


def test_mlflow(raised: Any, browser: Browser) -> None:
    page, wrong = page_of(browser, raised.credential)
    page.goto(f"{raised['mlflow']['url']}/#/experiments", wait_until="domcontentloaded")
    expect(page.get_by_text("Experiments").filter(visible=True).first).to_be_visible()
    expect(page.get_by_text("Default").filter(visible=True).first).to_be_visible()
    assert wrong == []


def test_without_the_credential(raised: Any, browser: Browser) -> None:
    for name in ("prefect", "mlflow"):
        with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):
            browser.new_page().goto(raised[name]["url"])


def test_another_page_of_the_same_person(raised: Any, browser: Browser) -> None:
    """The browser would add the credential, which it knows by now, to what any page asks it to fetch."""
    page, _ = page_of(browser, raised.credential)
    url = raised["prefect"]["url"]
    page.goto(f"{url}/v2/deployments", wait_until="domcontentloaded")
    expect(page.get_by_text("retrain").filter(visible=True).first).to_be_visible()
    asked: dict[str, int] = {}
    page.on("response", lambda answer: asked.update({answer.request.resource_type: answer.status}))
    with another_site(url) as evil:
        page.goto(evil, wait_until="load")
        expect(page.get_by_text("sent")).to_be_visible()
    assert asked == {"document": 403, "image": 403, "script": 403, "fetch": 403}, "its frame is the document"


@contextmanager
def another_site(target: str) -> Iterator[str]:
    """A page on another port that embeds the target, and sends it a form's worth of JSON."""
    body = f"""<img src="{target}/api/flows/"><script src="{target}/api/flows/"></script>
        <iframe src="{target}/v2/deployments"></iframe><p></p>
        <script>fetch("{target}/api/flows/", {{method: "POST", mode: "no-cors", credentials: "include",
            body: "{{}}"}}).finally(() => document.querySelector("p").append("sent"))
        </script>"""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
