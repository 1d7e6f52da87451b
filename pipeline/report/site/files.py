"""The files of the site, collected before they are written, and what the pages read and link to."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader

from pipeline.config.params import Params
from pipeline.evaluation import reported
from pipeline.evaluation.reported import ReportedAccuracies, ReportedRows
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.report import words

HERE = Path(__file__).parent
# Copied as they are.
ASSETS = ("style.css", "sort.js")


class Site:
    """A site that grows page by page. `files` maps a path below the site to its content.

    Links are relative to the site's root; a page says with `root` how it gets there. Every file that a page shows or
    links to is copied into the site, so that the folder can be moved or sent as it is. Results that are not there are
    None: a page leaves out what it has nothing for.
    """

    def __init__(self, workspace: Workspace, params: Params) -> None:
        self.workspace, self.params = workspace, params
        # Whether method.html is one of the pages, to which others then link.
        self.has_method = False
        self.files: dict[str, bytes] = {name: (HERE / name).read_bytes() for name in ASSETS}

    @cached_property
    def templates(self) -> Environment:
        """The templates of this package, which escape what they are filled with."""
        made = words.environment(autoescape=True, loader=FileSystemLoader(HERE), trim_blocks=True, lstrip_blocks=True)
        made.globals.update(site=self, params=self.params)
        return made

    @cached_property
    def reported_rows(self) -> ReportedRows:
        """What the sources report of each row, read once."""
        return reported.reported_rows(self.workspace.reported_results, self.params)

    @cached_property
    def reported_accuracies(self) -> ReportedAccuracies:
        """The test accuracies that the sources report, read once."""
        return reported.reported_accuracies(self.workspace.reported_results, self.params)

    def add_page(self, path: str, template: str, **content: Any) -> None:
        """Fill a template and keep it as a page; it sees `root`, the way from the page to the site's root."""
        root = "../" * path.count("/")
        self.files[path] = self.templates.get_template(template).render(root=root, path=path, **content).encode()

    def add_table(self, path: str, table: pd.DataFrame) -> str:
        """Keep a table that the site itself puts together; returns its link."""
        self.files[path] = table.to_csv(index=False, lineterminator="\n").encode()
        return path

    def copy(self, path: Path) -> str | None:
        """Keep a copy of an output, and return its link; None where there is none."""
        if not path.is_file():
            return None
        link = f"files/{path.relative_to(self.workspace.root / 'results').as_posix()}"
        self.files.setdefault(link, path.read_bytes())
        return link

    def table(self, path: Path) -> pd.DataFrame | None:
        """A CSV table of the results, None where there is none or it has no row."""
        table = storage.read_table(path) if path.is_file() else pd.DataFrame()
        return None if table.empty else table

    def rows(self, path: Path) -> list[dict[Hashable, Any]]:
        """The rows of a CSV table of the results; empty cells are None."""
        table = self.table(path)
        return [] if table is None else rows_of(table)

    def record(self, path: Path) -> Mapping[str, Any]:
        """A JSON object of the results, empty where there is none."""
        return storage.read_json(path) if path.is_file() else {}

    def page_of(self, name: str) -> str | None:
        """The page of a study, variant or search; where a variant is named as its search, that of the variant."""
        if name in self.params.all_variants:
            return f"variants/{name}.html"
        if name in self.params.searches:
            return f"searches/{name}.html"
        is_study = name in self.params.studies or name in self.params.signals
        return f"studies/{name}.html" if is_study else None

    @property
    def studies(self) -> dict[str, str]:
        """The titles of all studies, those of signals last."""
        return {name: self.params.title_of(name) for name in (*self.params.studies, *self.params.signals)}

    def variants_of(self, study: str) -> tuple[str, ...]:
        """The variants that a study shows, in its order; of a signal its regressors, by name."""
        if study in self.params.studies:
            return self.params.studies[study].variants
        return tuple(sorted(name for name, item in self.params.regressors.items() if item.study == study))

    def searches_of(self, study: str) -> list[str]:
        """The searches of a study, by name."""
        return sorted(name for name, item in self.params.searches.items() if item.study == study)


def rows_of(table: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """The rows of a table by column; what is empty is None."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def stated(value: Any) -> str:
    """A value of the parameters as text: lists and objects as YAML would have them on one line."""
    if isinstance(value, str):
        return value
    return json.dumps(value).replace('"', "")
