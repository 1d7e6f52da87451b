"""What the grid searches of a study and their refits show, and which conclusions of its source they support."""

from collections.abc import Mapping

import pandas as pd

from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.errors import PipelineError
from pipeline.evaluation import result_files
from pipeline.evaluation.reported import reported_rows
from pipeline.evaluation.result_files import ClassifierTest, ClassifierTraining
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.studies.grid_search import data, metrics, plots, questions
from pipeline.studies.grid_search.closing_table import closing_table
from pipeline.studies.grid_search.data import Evidence, Refit


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Write a study's closing table, the verdict on each conclusion of its source, and plots of its searches."""
    require(params.conclusions, name, "study under conclusions")
    searches = {search: spec for search, spec in params.searches.items() if spec.study == name}
    reported = reported_rows(workspace.reported_results, params)
    scores = data.read_scores(workspace.searches_table, searches)
    chosen = {search: data.read_chosen(workspace.outcome(search), search, spec) for search, spec in searches.items()}
    evidence = Evidence(
        searches=searches,
        scores={search: scores[scores["search"] == search] for search in searches},
        chosen=chosen,
        refits=read_refits(workspace, params, name, chosen),
        repeated=storage.read_table(workspace.repeats(name) / "differences.csv"),
        block_costs=data.read_block_costs(workspace.block_costs),
        reported_seconds={
            search: seconds for search in searches if (seconds := reported[name, search].figures.search_seconds)
        },
    )
    folder = workspace.conclusions(name)
    storage.write_table(folder / "closing_table.csv", closing_table(name, evidence, reported))
    storage.write_json(folder / "conclusions.json", questions.answers(name, evidence, metrics.agreement(scores)))
    _draw(workspace, name, evidence, scores, params.title_of(name))


def read_refits(workspace: Workspace, params: Params, study: str, chosen: Mapping[str, str]) -> dict[str, Refit]:
    """The variants under `derived` of a study that take their layers from one of its searches, in the file's order."""
    variants = params.derived.items()
    derived = {name: variant for name, variant in variants if variant.study == study and variant.layers_from in chosen}
    if not derived:
        return {}
    path = workspace.evaluation(study) / "metrics.json"
    tested = result_files.read_by_name(path, ClassifierTest)
    missing = [name for name in derived if name not in tested]
    if missing:
        raise PipelineError(
            f"{path}: expected metrics of {', '.join(missing)}, "
            f"got only {', '.join(tested) or 'none'}. Run `dvc repro evaluate@{study}`."
        )
    refits = {}
    for name, variant in derived.items():
        search = variant.layers_from
        trained = result_files.read(workspace.training_results(name, variant) / "metrics.json", ClassifierTraining)
        refits[name] = Refit(name, search, chosen[search], trained, tested[name])
    return refits


def _draw(workspace: Workspace, study: str, evidence: Evidence, scores: pd.DataFrame, title: str) -> None:
    folder = workspace.conclusions(study)
    figure = plots.reported_against_measured(
        scores,
        correlations={name: metrics.rank_correlation(table) for name, table in evidence.scores.items()},
        correlation=metrics.rank_correlation(scores),
        title=f"{title}: cross-validated accuracy",
    )
    storage.write_figure(folder / "reported_against_measured.png", figure)
    for name, search in evidence.searches.items():
        figure = plots.heat_map(
            evidence.scores[name],
            search.grid,
            title=f"{name}: accuracy over {search.folds} folds (%), chosen: {evidence.chosen[name]}",
        )
        storage.write_figure(folder / "heat_maps" / f"{name}.png", figure)
