"""The page docs/models.md: the layers of every model, and its figures beside those of its source."""

from collections.abc import Hashable
from typing import Any

from pipeline.config.params import Params
from pipeline.evaluation.reported import ReportedRows, is_refit, reported_rows
from pipeline.io.paths import Workspace
from pipeline.report.words import NOTHING, filled, nats, percent, rows


def models_page(workspace: Workspace, params: Params) -> str:
    """Markdown: of each study a table of figures, and a table of the layers of each of its own variants.

    Raises PipelineError when a result is missing.
    """
    reported = reported_rows(workspace.reported_results, params)
    studies = [
        {
            "title": params.title_of(name),
            "compared": _compared(workspace, params, name, reported) if name in params.studies else [],
            "layers": {
                variant: rows(workspace.evaluation_details(name, variant) / "layers.csv")
                for variant, spec in params.all_variants.items()
                if spec.study == name
            },
        }
        for name in (*params.studies, *params.signals)
    ]
    return filled("models.md.jinja", studies=studies, told=_told)


def _compared(workspace: Workspace, params: Params, study: str, reported: ReportedRows) -> list[dict[Hashable, Any]]:
    """The rows of a study's ranking about the variants that it lists, with the figures of their source."""
    variants = params.variants_of(study)
    compared = [row for row in rows(workspace.comparison(study) / "ranking.csv") if row["variant"] in variants]
    for row in compared:
        name = row["variant"]
        row |= {"reported": reported[study, name].figures, "is_refit": is_refit(variants[name], params)}
    return compared


def _told(value: float | None, form: str) -> str:
    """A figure of a source in the form of words.percent or words.nats; a dash where there is none."""
    return NOTHING if value is None else {"percent": percent, "nats": nats}[form](value)
