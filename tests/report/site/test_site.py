"""The pages of the report: which there are, how they hang together, and that their numbers are the results."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from markupsafe import Markup

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io import dvc_lock, storage
from pipeline.io.paths import Workspace
from pipeline.report import site, words
from pipeline.report.site import pictures
from tests.report.site.html_pages import Page, broken_links, pages

PAGES = {
    "index.html",
    "glossary.html",
    "method.html",
    *(f"studies/{name}.html" for name in ("first", "second", "waves")),
    *(f"variants/{name}.html" for name in ("narrow", "dropped", "wide", "refit", "sine")),
    "searches/widths.html",
}
MAX_BYTES = 3_000_000


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty picture in place of each figure, because drawing takes most of the time."""
    monkeypatch.setattr(pictures, "inline", lambda name, figure, label: Markup('<svg role="img" aria-label="x"></svg>'))


@pytest.fixture(scope="session")
def read(files: dict[str, bytes]) -> dict[str, Page]:
    return pages(files)


def text_of(page: Page) -> str:
    return " ".join(" ".join(page.words).split())


def test_there_is_a_page_for_each_study_variant_and_search(read: dict[str, Page]) -> None:
    assert set(read) == PAGES


def test_links_lead_to_files_and_places_that_exist(files: dict[str, bytes]) -> None:
    assert broken_links(files) == []


def test_a_broken_link_is_found(files: dict[str, bytes]) -> None:
    page = b'<a href="../glossary.html#none">x</a><a href="none.html">y</a><a href="#top">z</a>'
    assert broken_links({**files, "studies/first.html": page}) == [
        f"studies/first.html: {link}" for link in ("../glossary.html#none", "none.html", "#top")
    ]


def test_pages_are_well_formed_and_no_identifier_is_there_twice(read: dict[str, Page]) -> None:
    for path, page in read.items():
        assert page.problems == [], path
        assert [name for name, count in Counter(page.ids).items() if count > 1] == [], path
        assert len(page.all("h1")) == len(page.all("main")) == 1, path


def test_no_page_asks_for_anything_outside_or_is_large(files: dict[str, bytes], read: dict[str, Page]) -> None:
    for path, page in read.items():
        assert {"style.css", "sort.js"} <= {link.removeprefix("../") for link in page.resources}
        assert [link for link in page.resources if re.match(r"\w+:|//", link) and not link.startswith("data:")] == []
        assert len(files[path]) <= MAX_BYTES
    assert b"url(" not in files["style.css"]
    assert b"@import" not in files["style.css"]


def test_pictures_and_tables_are_told_to_a_screen_reader(read: dict[str, Page]) -> None:
    for path, page in read.items():
        assert all(item.get("role") == "img" and item["aria-label"] for item in page.all("svg")), path
        assert all(item["alt"] for item in page.all("img")), path
        assert len(page.all("figure")) == len(page.all("figcaption")), path
        assert len(page.all("table")) == len(page.all("caption")), path
        assert all(item.get("scope") in ("row", "col") for item in page.all("th")), path


def test_results_that_are_equal_give_equal_bytes(
    files: dict[str, bytes], made: tuple[Workspace, Params], tmp_path: Path
) -> None:
    """Also in another folder."""
    workspace, params = made
    shutil.copytree(workspace.root, tmp_path / "elsewhere")
    assert site.build(Workspace(tmp_path / "elsewhere"), params) == files


def test_numbers_are_those_of_the_tables(read: dict[str, Page], made: tuple[Workspace, Params]) -> None:
    workspace, _ = made
    shown = text_of(read["index.html"])
    table = storage.read_table(workspace.variants_table)
    assert len(table) == 5
    for row in table.to_dict("records"):
        page = text_of(read[f"variants/{row['variant']}.html"])
        for number in (words.percent(row["test_accuracy"]), f"{row['params']:,}"):
            assert number in shown
            assert number in page
    gain = storage.read_table(workspace.repeats("first") / "differences.csv").iloc[0]
    told = f"{words.points(gain['accuracy_difference'])} ({words.points(gain['accuracy_low'])} to"
    assert told in shown
    assert told in text_of(read["studies/first.html"])


def test_tables_lie_beside_the_pages_as_the_stages_wrote_them(
    files: dict[str, bytes], made: tuple[Workspace, Params]
) -> None:
    results = made[0].root / "results"
    copied = {path: content for path, content in files.items() if path.startswith("files/")}
    assert "files/compare/first/ranking.csv" in copied
    for path, content in copied.items():
        assert content == (results / path.removeprefix("files/")).read_bytes()


def test_a_study_tells_its_questions_and_what_is_wrong_with_its_source(read: dict[str, Page]) -> None:
    page = text_of(read["studies/first.html"])
    assert "Does dropout help?" in page
    assert "dropped has 99.00 %" in page
    assert "The network was <dead>." in page
    order = ("Questions", "Data", "Models", "Curves", "Comparison", "Statistics", "Faults of")
    places = [page.rindex(title) for title in order]
    assert places == sorted(places)
    assert "Faults" not in text_of(read["studies/second.html"])


def test_a_variant_tells_where_it_comes_from(read: dict[str, Page], made: tuple[Workspace, Params]) -> None:
    workspace, params = made
    page = read["variants/refit.html"]
    assert "dvc repro derive@refit" in text_of(page)
    assert "../searches/widths.html" in page.links
    history = workspace.training_results("refit", params.all_variants["refit"]) / "history.csv"
    assert dvc_lock.hash_of(history) in text_of(page)
    assert "a" * 64 in text_of(page)


def test_what_is_not_there_is_left_out(made: tuple[Workspace, Params], tmp_path: Path) -> None:
    """Parameters alone make a site whose links lead somewhere."""
    workspace, params = made
    empty = Workspace(tmp_path)
    shutil.copy(workspace.reported_results, empty.reported_results)
    files = site.build(empty, params)
    read = pages(files)
    assert set(read) == PAGES - {"method.html"}
    assert broken_links(files) == []
    assert [page.problems for page in read.values() if page.problems] == []
    assert [page for page in read.values() if page.all("svg") or page.all("img")] == []


@pytest.mark.parametrize("missing", ["repeats", "contrast", "kernels", "train", "searches.csv", "outcomes", "data"])
def test_a_piece_that_is_missing_takes_nothing_else_along(
    made: tuple[Workspace, Params], undrawn: None, tmp_path: Path, missing: str
) -> None:
    workspace, params = made
    results = tmp_path / "results"
    shutil.copytree(workspace.root, tmp_path, dirs_exist_ok=True)
    path = results / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    files = site.build(Workspace(tmp_path), params)
    assert broken_links(files) == []
    assert len(pages(files)["studies/first.html"].all("svg")) > 0


def test_a_damaged_result_is_named(made: tuple[Workspace, Params], tmp_path: Path) -> None:
    workspace, params = made
    shutil.copytree(workspace.root, tmp_path, dirs_exist_ok=True)
    (tmp_path / "results" / "compare" / "first" / "ranking.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(PipelineError, match=r"ranking\.csv: expected a CSV table, but the file is damaged"):
        site.build(Workspace(tmp_path), params)


def test_texts_that_do_not_fit_the_study_are_left_out_and_that_is_said(
    made: tuple[Workspace, Params], undrawn: None, tmp_path: Path
) -> None:
    workspace, params = made
    shutil.copytree(workspace.root, tmp_path, dirs_exist_ok=True)
    (tmp_path / "docs" / "findings.md.jinja").write_text("{{ trained['none'] }}")
    read = pages(site.build(Workspace(tmp_path), params))
    assert "method.html" not in read
    assert "The findings in words are left out: docs/findings.md.jinja: " in text_of(read["index.html"])
