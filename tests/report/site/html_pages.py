"""What tests ask of an HTML page, and of a folder of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from posixpath import dirname, join, normpath
from urllib.parse import unquote, urldefrag

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
RESOURCES = {("img", "src"), ("script", "src"), ("link", "href"), ("image", "href"), ("use", "href"), ("iframe", "src")}
# What an element of SVG may close itself.
SELF_CLOSING = {"circle", "clippath", "ellipse", "g", "image", "line", "path", "polygon", "polyline", "rect", "use"}


@dataclass
class Page(HTMLParser):
    """A page that was read: its elements, text, links and identifiers, and what is wrong with its tags."""

    text: str
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if len({name for name, _ in attrs}) < len(attrs):
            self.problems.append(f"<{tag}> has an attribute twice")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID | SELF_CLOSING:
            self.problems.append(f"<{tag}/> closes itself")

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.problems.append(f"</{tag}> where {self.open[-1:] or 'nothing'} is open")

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]

    @property
    def links(self) -> list[str]:
        return [attributes[name] for _, attributes in self.elements for name in ("href", "src") if name in attributes]

    @property
    def resources(self) -> list[str]:
        """What a browser fetches by itself to show the page."""
        return [
            attributes[name]
            for tag, attributes in self.elements
            for name in ("href", "src")
            if (tag, name) in RESOURCES and name in attributes
        ]

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def pages(files: Mapping[str, bytes]) -> dict[str, Page]:
    """Every page of a site by its path."""
    return {path: Page(content.decode()) for path, content in files.items() if path.endswith(".html")}


def broken_links(files: Mapping[str, bytes]) -> list[str]:
    """Links that lead to no file of the site, or to no place on a page."""
    read = pages(files)
    broken = []
    for path, page in read.items():
        for link in page.links:
            target, fragment = urldefrag(unquote(link))
            if link.startswith("data:"):
                continue
            found = normpath(join(dirname(path), target)) if target else path
            if found not in files or (fragment and fragment not in read[found].ids):
                broken.append(f"{path}: {link}")
    return broken
