"""Markdown as HTML: the findings by study, and the tables of the report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.report.findings import findings
from pipeline.report.site.files import Site

# What the template of the findings says of a section, in a comment below its heading.
STUDY = re.compile(r"<!-- study: ([\w-]+) -->\n?")
QUESTION = re.compile(r"^\*\*([^*]+\?)\*\*", re.MULTILINE)
# Of a sentence that announces a table, in characters.
MAX_CAPTION = 160
PROJECT_LINK = re.compile(r"^(?!https?:|#)")


@dataclass(frozen=True)
class Section:
    """A section of the findings: its title, the study that it is about, if any, and its Markdown."""

    title: str
    study: str | None
    text: str

    @property
    def questions(self) -> list[str]:
        """The questions that it answers."""
        return [" ".join(found.split()) for found in QUESTION.findall(self.text)]


def sections(workspace: Workspace, params: Params) -> tuple[Section, ...]:
    """The findings, the introduction first: none about demonstrations. Raises PipelineError if they cannot be filled.

    Their template is about the real data: figures of small embedded data have nothing to say about its questions.
    """
    path = workspace.findings_template
    template = storage.read_text(path) if path.is_file() else ""
    if not template.strip() or any(params.is_embedded(name) for name in (*params.datasets, *params.signals)):
        return ()
    parts = re.split(r"^## (.*)\n", findings(workspace, params, template), flags=re.MULTILINE)
    found = [Section("Introduction", None, re.sub(r"^# .*\n", "", parts[0]).strip())]
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        about = STUDY.search(text)
        found.append(Section(title, about[1] if about else None, STUDY.sub("", text).strip()))
    return tuple(item for item in found if item.text)


def sections_or_problem(workspace: Workspace, params: Params) -> tuple[tuple[Section, ...], str]:
    """The findings, or none and why: a study of one's own has no use for the template of another."""
    try:
        return sections(workspace, params), ""
    except PipelineError as error:
        return (), str(error)


def html(site: Site, text: str, root: str, *, level: int = 2, caption: str = "") -> Markup:
    """Markdown as HTML for a page whose way to the site's root is `root`; its top headings become those of `level`.

    Names of studies, variants and searches lead to their pages. Tables scroll in a box, have a caption (the question or
    heading before them, if none is given), and their first column and row are headers. Pictures of the results are
    copied; other files of the project are named and not linked, because they are not part of the site.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    shift = level - min((int(token.tag[1]) for token in tokens if token.type == "heading_open"), default=level)
    shown: list[Token] = []
    for place, token in enumerate(tokens):
        if token.type.startswith("heading_"):
            token.tag = f"h{int(token.tag[1]) + shift}"
        elif token.type == "inline":
            caption = _lead(tokens, place) or caption
            token.children = _linked(site, token.children or [], root)
        elif token.type == "table_open":
            shown.append(
                _raw(f'<div class="scroll" tabindex="0" role="group" aria-label="Table: {_quoted(caption)}">\n')
            )
            token.attrSet("class", "sortable")
        elif token.type in ("th_open", "td_open"):
            _mark_cell(tokens, place)
        shown.append(token)
        if token.type == "table_open":
            shown.append(_raw(f"<caption>{_quoted(caption)}</caption>\n"))
        elif token.type == "table_close":
            shown.append(_raw("</div>\n"))
    return Markup(parser.renderer.render(shown, parser.options, {}))


def _lead(tokens: Sequence[Token], place: int) -> str:
    """What announces a table: a heading, a short sentence that ends with a colon, or bold words that begin a text."""
    opening, inline = tokens[place - 1], tokens[place]
    words = " ".join(_plain(inline.children or []).split())
    if opening.type == "heading_open":
        return words
    last = words.rsplit(". ", 1)[-1]
    if opening.type == "paragraph_open" and last.endswith(":") and len(last) <= MAX_CAPTION:
        return last.rstrip(":")
    if opening.type == "paragraph_open" and inline.content.startswith("**"):
        return " ".join(inline.content.split("**")[1].replace("`", "").split()).rstrip(".:")
    return ""


def _plain(tokens: Sequence[Token]) -> str:
    return "".join(" " if token.type == "softbreak" else token.content for token in tokens)


def _linked(site: Site, tokens: Sequence[Token], root: str) -> list[Token]:
    shown: list[Token] = []
    is_kept = True
    by_title = {title: f"studies/{name}.html" for name, title in site.studies.items()}
    for token in tokens:
        page = by_title.get(token.content) if token.type == "text" else None
        page = site.page_of(token.content) if token.type == "code_inline" else page
        if page:
            shown += [Token("link_open", "a", 1, attrs={"href": f"{root}{page}"}), token, Token("link_close", "a", -1)]
        elif token.type == "image":
            path = str(token.attrGet("src")).removeprefix("../")
            token.attrSet("src", f"{root}{site.copy(site.workspace.root / path)}")
            token.attrSet("class", "chart")
            shown.append(token)
        elif token.type == "link_open":
            is_kept = not PROJECT_LINK.match(str(token.attrGet("href")))
            shown += [token] if is_kept else []
        elif token.type != "link_close" or is_kept:
            shown.append(token)
    return shown


def _mark_cell(tokens: Sequence[Token], place: int) -> None:
    """Name what a header cell is the header of, and align numbers by a class: styles in the page are for pictures."""
    token = tokens[place]
    if "right" in str(token.attrs.pop("style", "")):
        token.attrSet("class", "number")
    if token.type == "th_open" and not tokens[place + 1].content:
        # Above the names of the rows: a header without a word would be none.
        token.tag = tokens[place + 2].tag = "td"
    elif token.type == "th_open":
        token.attrSet("scope", "col")
    elif tokens[place - 1].type == "tr_open":
        token.attrSet("scope", "row")
        token.tag = tokens[place + 2].tag = "th"


def _raw(content: str) -> Token:
    return Token("html_block", "", 0, content=content)


def _quoted(text: str) -> str:
    return str(Markup.escape(text))
