"""The report in Chromium: no errors, nothing from outside, tables that sort, and what axe-core finds.

Needs `chromium` in the PATH and the packages of the tests; skipped where one of them is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from pipeline.io import storage

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SERIOUS = ("serious", "critical")
# The style sheet cannot be fetched again from a page of the disk.
RUN = "axe.run(document, {preload: false, resultTypes: ['violations']}).then(found => found.violations)"
PHONE, DESK = 390, 1400

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install Debian's package chromium"),
]


@dataclass
class Visit:
    """All pages of the report, seen at one width and in one colour scheme."""

    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    too_wide: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def root(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "a site"
    for path, content in files.items():
        storage.write_bytes(folder / path, content)
    return folder


@pytest.fixture(
    scope="module", params=[(width, scheme) for width in (PHONE, DESK) for scheme in ("light", "dark")], ids=str
)
def visit(browser: Any, root: Path, request: pytest.FixtureRequest) -> Visit:
    pytest.importorskip("axe_playwright_python")
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text()
    width, scheme = request.param
    seen = Visit()
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on("console", lambda message: seen.said.append(message.text))
    page.on("pageerror", lambda error: seen.said.append(str(error)))
    page.on("request", lambda request: seen.asked.append(request.url))
    for path in sorted(root.rglob("*.html")):
        page.goto(path.as_uri())
        if page.evaluate("document.documentElement.scrollWidth") > width:
            seen.too_wide.append(path.name)
        page.evaluate(axe)
        for item in page.evaluate(RUN):
            if item["impact"] in SERIOUS:
                seen.violations.append(f"{path.name}: {item['id']}: {item['nodes'][0]['html'][:200]}")
    page.close()
    return seen


def test_pages_open_without_a_word_and_without_the_network(visit: Visit) -> None:
    assert visit.said == []
    assert visit.asked
    assert [url for url in visit.asked if not url.startswith(("file:", "data:"))] == []


def test_pages_are_as_wide_as_the_window(visit: Visit) -> None:
    assert visit.too_wide == []


def test_axe_finds_nothing_serious(visit: Visit) -> None:
    assert visit.violations == []


def column(page: Any, number: int) -> list[str]:
    cells = page.locator("h2#variants ~ .scroll tbody tr").all()
    return [row.locator("th, td").nth(number).inner_text() for row in cells]


def test_a_table_sorts_by_a_click_and_by_a_key(browser: Any, root: Path) -> None:
    page = browser.new_page()
    page.goto((root / "index.html").as_uri())
    heading = page.locator("h2#variants ~ .scroll thead th").nth(2)
    heading.locator("button").click()
    sizes = [int(text.replace(",", "")) for text in column(page, 2)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 1
    assert heading.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert column(page, 2) == [f"{size:,}" for size in sorted(sizes, reverse=True)]
    assert heading.get_attribute("aria-sort") == "descending"
    page.close()


def test_pages_read_without_scripts(browser: Any, root: Path) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto((root / "studies" / "first.html").as_uri())
    assert page.locator("figure svg").first.is_visible()
    assert page.locator("thead th").first.is_visible()
    assert page.locator("button").count() == 0
    page.close()


def test_the_first_key_leads_to_the_content(browser: Any, root: Path) -> None:
    page = browser.new_page()
    page.goto((root / "index.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    page.close()
