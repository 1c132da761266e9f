"""What a person sees: one training in MLflow's and Prefect's pages and in the report, in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from flows.servers import credentials
from flows.servers.mlflow_server import mlflow_server
from flows.servers.prefect_server import prefect_server
from tasks.registry import tracking

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # Prefect's pages would call home
)  # fmt: skip
STEPS = ("validate", "clean", "split", "fit", "evaluate", "register")
PATIENCE = 30_000
"""Milliseconds that a text may take to appear; one or two seconds are usual."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@dataclass(frozen=True)
class Shop:
    """A page, and the addresses of the two servers."""

    page: Page
    mlflow: str
    prefect: str
    pictures: Path
    wrong: list[str]
    """What the page complained about, in its console or by an exception."""

    def open(self, url: str) -> Page:
        """The page at `url`; both interfaces poll, so nothing waits for silence."""
        self.wrong.clear()
        self.page.goto("about:blank")
        self.page.goto(url, wait_until="domcontentloaded")
        return self.page

    def sees(self, *texts: str | re.Pattern[str]) -> None:
        """All of the texts are visible."""
        for text in texts:
            expect(self.page.get_by_text(text).filter(visible=True).first).to_be_visible()

    def picture(self, name: str) -> None:
        self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def shop(yard: Any, trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    expect.set_options(timeout=PATIENCE)
    pictures = Path(os.environ.get("MODELYARD_PICTURES") or tmp_path_factory.mktemp("pictures"))
    uri = tracking.connect(yard.root)
    with (
        prefect_server(yard.root) as server,
        mlflow_server(yard.root, uri, free_port()) as mlflow,
        sync_playwright() as browsers,
    ):
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        user, _, password = credentials.read(yard.root).partition(":")
        page = browser.new_page(
            viewport={"width": 1400, "height": 1000},
            http_credentials={"username": user, "password": password},  # what a person types once
        )
        page.set_default_timeout(PATIENCE)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda m: wrong.append(f"{m.text} {m.location}") if m.type == "error" else None)
        yield Shop(page, mlflow, server.wait().removesuffix("/api"), pictures, wrong)
        browser.close()


@pytest.fixture(scope="module")
def run_path(trained: dict[str, Any]) -> str:
    """Path of the MLflow run's page, from the link in the document."""
    return trained["links"]["MLflow run"].split("/#", 1)[1]


def test_mlflow_run(shop: Shop, trained: dict[str, Any], run_path: str) -> None:
    page = shop.open(f"{shop.mlflow}/#{run_path}")
    shop.sees("Parameters (", "candidate.accuracy", "logistic.accuracy.low", "train_loss", "fit.epochs")
    shop.sees(re.compile(r"^rings train \("), "modelyard.outcome", trained["run_id"])
    expect(page.locator("a[href*='/models/rings/versions/1']").filter(visible=True).first).to_be_visible()
    shop.picture("mlflow-run")
    link = page.get_by_role("link", name="Prefect flow run").first
    assert link.get_attribute("href") == trained["links"]["Prefect flow run"]


def test_mlflow_curves(shop: Shop, run_path: str) -> None:
    page = shop.open(f"{shop.mlflow}/#{run_path}/model-metrics")
    shop.sees("candidate.accuracy")
    page.get_by_placeholder("Search metric charts").fill("loss")
    shop.sees("train_loss", "validation_loss")
    expect(page.locator("svg.main-svg").first).to_be_visible()
    shop.picture("mlflow-curves")


def test_mlflow_artifacts(shop: Shop, trained: dict[str, Any]) -> None:
    page = shop.open(f"{shop.mlflow}/#{trained['links']['Report'].split('/#', 1)[1]}")
    shop.sees("report.html", "card.md", "validate", "register")
    report = page.frame_locator("iframe")
    expect(report.get_by_role("heading", name="Registered as version 1")).to_be_visible()
    shop.picture("mlflow-report")


def test_mlflow_model(shop: Shop, trained: dict[str, Any]) -> None:
    page = shop.open(f"{shop.mlflow}/#/models/rings")
    shop.sees("Version 1", "champion", "challenger")
    shop.picture("mlflow-model")
    page.get_by_role("link", name="Version 1").click()
    shop.sees("How it was judged", "champion", "modelyard.fingerprint")
    shop.picture("mlflow-version")
    source = page.locator(f"a[href*='/runs/{trained['run_id']}']").first
    expect(source).to_be_visible()


def test_prefect_run(shop: Shop, trained: dict[str, Any]) -> None:
    shop.open(trained["links"]["Prefect flow run"])
    shop.sees("6 Task runs", "Completed", "registered", *(f"{step}-" for step in STEPS))
    shop.picture("prefect-run")


def test_prefect_tasks_and_ladder(shop: Shop, trained: dict[str, Any]) -> None:
    at = f"{shop.prefect}/v2/runs/flow-run/{trained['flow_run_id']}"
    page = shop.open(f"{at}?tab=TaskRuns")
    shop.sees("(6 Completed)", *(re.compile(f"^{step}-") for step in STEPS))
    shop.picture("prefect-tasks")
    page.get_by_role("tab", name="Artifacts").click()
    shop.sees("rings-report", "rings-mlflow-run")
    page.get_by_text("rings-ladder").first.click()
    page.locator("a[href*='/artifacts/artifact/']").first.click()
    shop.sees("rings: registered", "logistic", "candidate")
    shop.picture("prefect-ladder")
    hrefs = [link.get_attribute("href") for link in page.locator("a").all()]
    assert trained["links"]["MLflow run"] in hrefs
    assert trained["links"]["Report"] in hrefs


def test_report(shop: Shop, trained: dict[str, Any]) -> None:
    page = shop.open(Path(trained["report"]).as_uri())
    for heading in (
        "The ladder",
        "Training",
        "Confusion",
        "Worst examples",
        "Rows accounted for",
        "Environment",
    ):
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    hrefs = {link.get_attribute("href") for link in page.locator("a").all()}
    assert set(trained["links"].values()) <= hrefs
    shop.picture("report")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert shop.wrong == []
