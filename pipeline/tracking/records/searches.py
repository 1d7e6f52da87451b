"""Records of searches with their configurations, of sweeps, and of what the searches of a study say together."""

from dataclasses import replace

from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from pipeline.tracking import flatten
from pipeline.tracking.records import outputs
from pipeline.tracking.records.data import dataset_versions
from pipeline.tracking.records.record import SUMMARY, RunRecord, StageItem, embedded_first

# A variant with the layers that a search chose often has the name of the search itself.
RUN_NAME_PREFIX = "search: "


def search_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """A search, and below it every configuration."""
    spec, path = params.searches[name], workspace.outcome(name)
    selected, reason = outputs.values(path, "selected", "reason")
    folds_path = workspace.search_results(name) / "folds.csv"
    folds = outputs.table(folds_path, "units", "parameters", "mean_accuracy")
    if folds.empty:
        raise outputs.damaged(folds_path, "a row per configuration", "none")
    item = search_item(workspace, params, name)
    record = item.record(
        [*outputs.files_of([folds_path.parent]), path],
        folder="search",
        name=f"{RUN_NAME_PREFIX}{name}",
        tags={"search": name, "selected": str(selected), "mlflow.note.content": str(reason)},
        params=search_params(params, name),
        metrics={
            "best_mean_accuracy": float(folds["mean_accuracy"].max()),
            "num_configurations": float(len(folds)),
            "num_fits": float(len(folds) * spec.folds),
        },
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
    spec, path = params.sweeps[name], workspace.outcome(name)
    selected, reason, accuracies = outputs.values(path, "selected", "reason", "accuracies")
    if selected not in accuracies:
        raise outputs.damaged(path, f"{selected!r} among the accuracies", "none of that name")
    return StageItem(workspace, params, "sweep", name, spec.dataset, spec.study).record(
        [path],
        folder="sweep",
        tags={"sweep": name, "selected": selected, "mlflow.note.content": str(reason)},
        params={"selected": selected},
        metrics={
            "best_val_accuracy": float(accuracies[selected]),
            "num_members": float(len(accuracies)),
            **flatten.numbers(accuracies, "val_accuracy"),
        },
    )


def tabulate_record(workspace: Workspace, params: Params, name: str) -> RunRecord:
    """The table of all configurations of all searches."""
    path = workspace.searches_table
    table = outputs.table(path, "search")
    data = embedded_first(params, [search.dataset for search in params.searches.values()])
    return StageItem(workspace, params, "tabulate", name, data, SUMMARY).record(
        [path],
        folder="searches",
        metrics={"num_rows": float(len(table)), "num_searches": float(table["search"].nunique())},
    )


def conclusions_record(workspace: Workspace, params: Params, study: str) -> RunRecord:
    """What the searches of a study say about its source's conclusions: verdicts, tables and plots."""
    results = workspace.conclusions(study)
    path, maps = results / "conclusions.json", results / "heat_maps"
    conclusions, agreement = outputs.values(path, "conclusions", "agreement_with_reported")
    found = [outputs.values(path, "number", "claim", "verdict", "numbers", part=part) for part in conclusions]
    files = outputs.files_of([results])
    item = StageItem(workspace, params, "conclude", study, params.conclusions[study].dataset, study)
    return item.record(
        files,
        outputs=results.iterdir(),
        tags={"mlflow.note.content": "\n".join(f"- {claim} **{verdict}**" for _, claim, verdict, _ in found)},
        params={f"conclusion_{number}": str(verdict) for number, _, verdict, _ in found},
        metrics={
            **flatten.numbers({f"conclusion_{number}": numbers for number, _, _, numbers in found}),
            **flatten.numbers(agreement, "agreement_with_reported"),
        },
        attachments=(
            *item.attached("conclusions", [file for file in files if file.parent == results]),
            *item.attached("conclusions/heat_maps", [file for file in files if file.parent == maps]),
        ),
    )
