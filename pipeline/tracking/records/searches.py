"""Records of searches with their configurations, of sweeps, and of what the searches of a study say together."""

from dataclasses import replace

from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.tracking import flatten
from pipeline.tracking.records.data import dataset_versions
from pipeline.tracking.records.record import (
    SUMMARY,
    RunRecord,
    StageItem,
    damaged,
    embedded_first,
    entry_of,
    existing,
    files_of,
)

# A variant with the layers that a search chose often has the name of the search itself.
RUN_NAME_PREFIX = "search: "

# Columns of folds.csv, of which only the last one is a metric of the folds.
REQUIRED_COLUMNS = ("units", "parameters", "mean_accuracy")


def search_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """A search, and below it every configuration."""
    spec = require(params.searches, name, "search")
    outcome_path, folds_path = existing(workspace.outcome(name)), workspace.search_results(name) / "folds.csv"
    outcome = storage.read_json(outcome_path)
    folds = storage.read_table(existing(folds_path))
    if not {*REQUIRED_COLUMNS} <= {*folds.columns} or folds.empty:
        raise damaged(folds_path, f"rows with {', '.join(REQUIRED_COLUMNS)}", f"columns {', '.join(folds.columns)}")
    files = [*files_of([workspace.search_results(name)]), outcome_path]
    item = search_item(workspace, params, name)
    record = item.record(
        files,
        name=f"{RUN_NAME_PREFIX}{name}",
        tags={
            "search": name,
            "selected": str(entry_of(outcome_path, outcome, "selected")),
            "mlflow.note.content": str(entry_of(outcome_path, outcome, "reason")),
        },
        params=search_params(params, name),
        metrics={
            "best_mean_accuracy": float(folds["mean_accuracy"].max()),
            "num_configurations": float(len(folds)),
            "num_fits": float(len(folds) * spec.folds),
        },
        attachments=item.attached("search", files),
        datasets=dataset_versions(workspace, params, spec.dataset, ("train", "validation")),
    )
    children = []
    # With a single layer, CSV reads its units as numbers.
    for row in folds.astype({"units": str}).to_dict("records"):
        units, parameters = str(row.pop("units")), str(row.pop("parameters"))
        settings = {**configuration_params(units), "parameters": parameters}
        children.append(record.child(units, units, configuration_tags(item, units), settings, row))
    return replace(record, children=tuple(children))


def search_item(workspace: Workspace, params: Params, name: str) -> StageItem:
    """A search as the item of its stage."""
    return StageItem(workspace, params, "search", name, params.searches[name].dataset, params.searches[name].study)


def search_params(params: Params, name: str) -> dict[str, str]:
    """The settings of a search, as MLflow parameters."""
    spec = params.searches[name]
    return {
        **flatten.section_params(spec, without=("study", "grid")),
        **{f"grid.{layer}": ", ".join(map(str, units)) for layer, units in enumerate(spec.grid, start=1)},
        "seed": str(params.compute.seed),
    }


def configuration_tags(search: StageItem, units: str) -> dict[str, str]:
    """Tags of one configuration of a search; `units` is like `512-128`."""
    return {**search.tags, "search": search.item, "units": units}


def configuration_params(units: str) -> dict[str, str]:
    """The units of each hidden layer as MLflow parameters."""
    return {f"units_{layer}": number for layer, number in enumerate(units.split("-"), start=1)}


def sweep_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """Which member of a sweep was chosen, and the accuracies that it was chosen by."""
    spec = require(params.sweeps, name, "sweep")
    path = existing(workspace.outcome(name))
    outcome = storage.read_json(path)
    selected, accuracies = str(entry_of(path, outcome, "selected")), entry_of(path, outcome, "accuracies")
    if selected not in accuracies:
        raise damaged(path, f"{selected!r} among the accuracies", "none of that name")
    item = StageItem(workspace, params, "sweep", name, spec.dataset, spec.study)
    return item.record(
        [path],
        tags={"sweep": name, "selected": selected, "mlflow.note.content": str(entry_of(path, outcome, "reason"))},
        params={"selected": selected},
        metrics={
            "best_val_accuracy": float(accuracies[selected]),
            "num_members": float(len(accuracies)),
            **flatten.numbers(accuracies, "val_accuracy"),
        },
        attachments=item.attached("sweep", [path]),
    )


def tabulate_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """The table of all configurations of all searches."""
    path = existing(workspace.searches_table)
    table = storage.read_table(path)
    num_searches = {"num_searches": float(table["search"].nunique())} if "search" in table.columns else {}
    data = embedded_first(params, [search.dataset for search in params.searches.values()])
    item = StageItem(workspace, params, "tabulate", name, data, SUMMARY)
    return item.record(
        [path],
        metrics={"num_rows": float(len(table)), **num_searches},
        attachments=item.attached("searches", [path]),
    )


def conclusions_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """What the searches of a study say about its source's conclusions: verdicts, tables and plots."""
    spec = require(params.conclusions, study, "study with conclusions")
    results = workspace.conclusions(study)
    path = existing(results / "conclusions.json")
    content = storage.read_json(path)
    # By name, each with the claim, the verdict, and the numbers that it rests on.
    conclusions = {
        f"conclusion_{entry_of(path, entry, 'number')}": entry for entry in entry_of(path, content, "conclusions")
    }
    lines = [
        f"- {entry_of(path, entry, 'claim')} **{entry_of(path, entry, 'verdict')}**" for entry in conclusions.values()
    ]
    item = StageItem(workspace, params, "conclude", study, spec.dataset, study)
    return item.record(
        files_of([results]),
        outputs=results.iterdir(),
        tags={"mlflow.note.content": "\n".join(lines)},
        params={name: str(entry["verdict"]) for name, entry in conclusions.items()},
        metrics={
            **flatten.numbers({name: entry.get("numbers", {}) for name, entry in conclusions.items()}),
            **flatten.numbers(content.get("agreement_with_reported") or {}, "agreement_with_reported"),
        },
        attachments=item.attached_folder("conclusions", results),
    )
