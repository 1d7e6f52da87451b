"""Take the pictures of README.md and docs anew: of the report, and of MLflow's UI with a study's runs.

Run as `python docs/screenshots.py` in a project where `dvc repro` is done; it needs Chromium, and Playwright of the extra
`dev`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from mlflow import MlflowClient
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
STUDY = "fashion"
SIZE = {"width": 1280, "height": 800}
START_SECONDS = 120


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        take_report(browser)
        take_mlflow(browser)
        browser.close()


def take_report(browser: Browser) -> None:
    """The first screen of the report, at the width of a page."""
    page = browser.new_page(viewport=SIZE)
    page.goto((ROOT / "site" / "index.html").as_uri())
    page.screenshot(path=ROOT / "docs" / "report.png")
    page.close()


def take_mlflow(browser: Browser) -> None:
    """The runs of a study in MLflow's UI, as a table."""
    store = f"sqlite:///{ROOT / 'mlflow.db'}"
    experiment = MlflowClient(store).get_experiment_by_name(STUDY)
    if experiment is None:
        sys.exit(f"error: {store}: expected an experiment {STUDY}, found none. Run `python -m pipeline sync`.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "mlflow", "ui", "--port", address.rpartition(":")[2], "--backend-store-uri", store]
    server = subprocess.Popen([*command, "--workers", "1"], env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"})
    try:
        wait_for(address)
        page = browser.new_page(viewport=SIZE)
        page.goto(f"{address}/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning")
        page.get_by_text("fashion_cnn_batchnorm").first.wait_for(timeout=60_000)
        page.wait_for_timeout(3000)
        page.screenshot(path=ROOT / "docs" / "mlflow-ui.png")
    finally:
        server.terminate()
        server.wait()


def wait_for(address: str) -> None:
    """Until a server answers. Raises TimeoutError if it does not."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(f"{address} did not answer in {START_SECONDS} seconds")


if __name__ == "__main__":
    main()
