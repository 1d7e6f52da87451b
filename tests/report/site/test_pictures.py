"""Figures as SVG within a page."""

from __future__ import annotations

import re

from matplotlib.figure import Figure

from pipeline.plots import style
from pipeline.report.site import pictures
from tests.report.site.html_pages import Page


def figure() -> Figure:
    made, axes = style.panels(2.0, title="A title")
    axes.plot([0, 1], [0, 1], "o-")
    axes.imshow([[0, 1], [1, 0]])
    return made


def test_a_figure_is_an_element_without_names_of_namespaces_dates_or_styles_of_its_own() -> None:
    svg = pictures.inline("one", figure(), 'A "label" & more')
    page = Page(svg)
    assert page.problems == []
    assert page.all("svg")[0]["aria-label"] == 'A "label" & more'
    assert svg.startswith("<svg ")
    assert not re.search(r"xmlns|xlink|<metadata|<style|http|matplotlib", svg)
    assert ">A title</text>" in svg
    assert "DejaVu" not in svg


def test_identifiers_begin_with_the_name_of_the_picture_and_lead_somewhere() -> None:
    page = Page(pictures.inline("one", figure(), "x"))
    assert page.ids
    assert all(name.startswith("one-") for name in page.ids)
    used = {
        name
        for _, attributes in page.elements
        for value in attributes.values()
        for name in re.findall(r"(?:^|url\()#([\w.-]+)", value)
    }
    assert used == set(page.ids)


def test_equal_figures_are_equal_bytes() -> None:
    assert pictures.inline("one", figure(), "x") == pictures.inline("one", figure(), "x")


def test_the_page_shines_through_a_figure() -> None:
    """A white background would stay white on a dark page: those of figure and axes come first."""
    background, axes = Page(pictures.inline("one", figure(), "x")).all("path")[:2]
    assert background["style"] == axes["style"] == "fill: none"
