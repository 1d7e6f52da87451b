"""Markdown of the findings and tables as parts of pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.report.site import texts
from pipeline.report.site.files import Site
from tests.report.site.html_pages import Page


@pytest.fixture
def site(made: tuple[Workspace, Params]) -> Site:
    return Site(*made)


def test_sections_belong_to_the_study_that_they_name(made: tuple[Workspace, Params]) -> None:
    found = texts.sections(*made)
    assert [(item.title, item.study) for item in found] == [
        ("Introduction", None),
        ("The first", "first"),
        ("In general", None),
    ]
    assert found[0].text == "Judged by intervals."
    assert found[1].questions == ["Does dropout help?"]
    assert "<!--" not in found[1].text


def test_an_empty_template_has_no_sections(made: tuple[Workspace, Params], tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "findings.md.jinja").write_text("\n")
    assert texts.sections(Workspace(tmp_path), made[1]) == ()


def test_demonstrations_have_no_findings(made: tuple[Workspace, Params]) -> None:
    content = made[1].model_dump(exclude_defaults=True)
    images = {"kind": "embedded", "images": "digits", "train_size": 9, "test_size": 9, "seed": 1}
    content["sources"] = {"shape-files": images}
    content["datasets"]["shapes"]["demonstration"] = True
    params = Params.model_validate(content, strict=False)
    assert texts.sections(made[0], params) == ()


def test_names_and_titles_lead_to_their_pages(site: Site) -> None:
    shown = texts.html(site, "`narrow`, `widths`, `first` and `other`\n\n| a |\n|---|\n| First study |", "../")
    links = ["../variants/narrow.html", "../searches/widths.html", "../studies/first.html", "../studies/first.html"]
    assert Page(shown).links == links


def test_links_to_files_of_the_project_become_text(site: Site) -> None:
    shown = texts.html(site, "[code](../pipeline/cli.py) and [web](https://example.org)", "")
    assert Page(shown).links == ["https://example.org"]
    assert "code and" in shown


def test_pictures_of_the_results_are_copied(site: Site) -> None:
    shown = texts.html(site, "![a picture](../results/compare/first/differences.png)", "../")
    assert Page(shown).links == ["../files/compare/first/differences.png"]
    assert "files/compare/first/differences.png" in site.files


@pytest.mark.parametrize(
    ("before", "caption"),
    [
        ("## A heading", "A heading"),
        ("**Which is\nbetter?** The first.", "Which is better?"),
        ("Much was done. Over `seeds` they\nare:", "Over seeds they are"),
        ("Words.", "given"),
    ],
)
def test_a_table_has_a_caption_and_headers(site: Site, before: str, caption: str) -> None:
    shown = texts.html(site, f"{before}\n\n| | b |\n|---|--:|\n| x & y | 1 |", "", caption="given")
    page = Page(shown)
    assert page.problems == []
    assert f"<caption>{caption}</caption>" in shown
    assert f'aria-label="Table: {caption}"' in shown
    # A cell without a word is no header.
    assert page.all("th") == [{"class": "number", "scope": "col"}, {"scope": "row"}]
    assert '<td class="number">1</td>' in shown


def test_headings_stand_below_those_of_the_page(site: Site) -> None:
    assert "<h3>A</h3>" in texts.html(site, "## A\n\n### B", "", level=3)
    assert "<h4>B</h4>" in texts.html(site, "## A\n\n### B", "", level=3)


def test_html_in_a_text_is_shown_and_not_obeyed(site: Site) -> None:
    assert "<script>" not in texts.html(site, "<script>alert(1)</script>", "")
