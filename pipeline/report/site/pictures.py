"""Pictures of the report: figures as inline SVG that follows the page, and copies of pictures that only stages draw."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pipeline.report.site.files import Site

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Text stays text, in the fonts of the page; identifiers come of the content, so that equal figures are equal bytes.
SVG_STYLE: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "report"}
# Of what matplotlib writes: the prolog, licences and date, a style for the whole page, the names of namespaces.
SUPERFLUOUS = re.compile(
    r"^.*?(?=<svg)|<metadata>.*?</metadata>|<style .*?</style>| xmlns(:xlink)?=\"[^\"]*\"", re.DOTALL
)
FONT = re.compile(r"(font: [^;\"']*?[\d.]+px|font-family:) [^;\"]+")
WIDTH = re.compile(r'<svg [^>]*?width="([\d.]+)pt"')
# A little larger than on paper, where a point has 4/3 pixels.
PIXELS_PER_POINT = 1.6
REFERENCE = re.compile(r'(?:xlink:href="|url\()#([\w-]+)')
ID = re.compile(r' id="([^"]+)"')


@dataclass(frozen=True)
class Picture:
    """A picture with its caption: what to see in it, and the link to its numbers.

    Either `svg` or `image`, a link, is there. `adapts` says whether it may be inverted on a dark page: photographs and
    maps of many colours may not, and stay on white.
    """

    title: str
    caption: str
    csv: str | None
    svg: Markup | None = None
    image: str | None = None
    adapts: bool = True

    @property
    def label(self) -> str:
        """What a screen reader says in place of the picture."""
        return f"{self.title}: {self.caption}"


def drawn(name: str, figure: Figure, title: str, caption: str, csv: str | None, *, adapts: bool = True) -> Picture:
    """A figure as a picture; `name` is that of no other picture on its page."""
    return Picture(title, caption, csv, svg=inline(name, figure, f"{title}: {caption}"), adapts=adapts)


def copied(
    site: Site, path: Path, title: str, caption: str, csv: str | None = None, *, adapts: bool = True
) -> list[Picture]:
    """A picture of the results; nothing where there is none."""
    image = site.copy(path)
    return [Picture(title, caption, csv, image=image, adapts=adapts)] if image else []


def inline(name: str, figure: Figure, label: str) -> Markup:
    """A figure as an SVG element without background; its identifiers begin with `name`, so that none is there twice."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(SVG_STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    used = set(REFERENCE.findall(text))
    text = ID.sub(lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", text)
    text = REFERENCE.sub(lambda found: found[0].replace("#", f"#{name}-").replace("xlink:", ""), text)
    width = WIDTH.search(text)
    text = FONT.sub(r"\1 var(--sans)", SUPERFLUOUS.sub("", text)).replace("xlink:href", "href")
    text = re.sub(r'^<svg (.*?)width="[\d.]+pt" height="[\d.]+pt"', r"<svg \1", text.strip())
    size = f' style="max-width: {float(width[1]) * PIXELS_PER_POINT:.0f}px"' if width else ""
    return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{Markup.escape(label)}"{size} ', 1))
