"""The page of a variant: its parameters, figures, curves, mistakes, weights, and how to make it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pipeline.config.models import MobileNetVariant, RegressorVariant
from pipeline.errors import PipelineError
from pipeline.io import dvc_lock, outcomes
from pipeline.plots import curves, evaluation
from pipeline.report.site import tables
from pipeline.report.site.effects import techniques
from pipeline.report.site.files import Site, stated
from pipeline.report.site.pictures import Picture, copied, drawn
from pipeline.report.site.tables import Column, Table
from pipeline.tracking import stage_table

# What acts in training only, so that validation may look better.
ACTIVE_IN_TRAINING = ("dropout", "augmentation")
MEASURES = {
    "accuracy": Column("accuracy", "accuracy", "percent"),
    "mean_absolute_error": Column("mean_absolute_error", "mean absolute error", "nats"),
    "cross_entropy": Column("cross_entropy", "cross-entropy", "nats"),
    "loss": Column("loss", "loss with penalties", "nats"),
}
# Pictures that only stages draw, by the name of the file: titles, and what to see; and tables of the same numbers.
ONLY_DRAWN = {
    "most_wrong": ("The worst mistakes", "the test images that are wrong with most confidence."),
    "test_curves": ("The first test rows", "where the dashed curve leaves the other, the parameters are wrong."),
    "extended_curves": ("Waves at and beyond the edge", "what becomes of waves that training had nothing like."),
    "curve_error": ("Errors along the wave", "the error grows with x, as an error in a frequency does."),
}
TABLES = {"test_curves": "first_test_rows.csv", "extended_curves": "predictions.csv"}


def add_page(site: Site, name: str) -> None:
    """Add the page of a variant."""
    variant = site.params.all_variants[name]
    workspace, home = site.workspace, variant.study
    details = workspace.evaluation_details(home, name)
    trained = site.record(workspace.training_results(name, variant) / "metrics.json")
    tested = site.record(workspace.evaluation(home) / "metrics.json").get(name, {})
    site.add_page(
        f"variants/{name}.html",
        "variant.html.jinja",
        name=name,
        studies=site.params.studies_of(name),
        trained=trained,
        tested=tested,
        specification=_specification(site, name),
        figures=_figures(trained, tested),
        curves=list(curves_of(site, name)),
        mistakes=list(_mistakes(site, name)),
        classes=tables.of_file(site, details / "per_class.csv", tables.CLASSES, "Each class on the test set"),
        waves=tables.of_file(site, details / "first_test_rows.csv", tables.WAVES, "The first test rows"),
        layers=tables.of_file(site, details / "layers.csv", tables.LAYERS, "The layers"),
        weights=_weights(site, name),
        kernels=tables.of_file(
            site, workspace.kernels(name) / "statistics.csv", tables.KERNELS, "The weights of each layer"
        ),
        origin=_origin(site, name),
        files=_files(site, name),
        digests=site.record(workspace.dataset_results(variant.dataset) / "statistics.json").get("sha256", {}),
        model=workspace.model(name, variant).relative_to(workspace.root).as_posix(),
        address=stage_table.address(site.params, "train", name),
    )


def _specification(site: Site, name: str) -> dict[str, str]:
    """What the parameters state of a variant, and its seed; without what they leave at its default."""
    content = site.params.all_variants[name].model_dump(exclude_defaults=True, exclude={"study"})
    return {
        **{key.replace("_", " "): _described(value) for key, value in content.items()},
        "seed": str(site.params.seed_of(name)),
    }


def _described(value: Any) -> str:
    if isinstance(value, Mapping):
        named = ((key.replace("_", " "), _described(item)) for key, item in value.items())
        return ", ".join(item if key == "name" else f"{key} {item}" for key, item in named)
    if isinstance(value, list | tuple):
        return "; ".join(map(_described, value))
    return stated(value)


def _figures(trained: Mapping[str, Any], tested: Mapping[str, Any]) -> Table | None:
    """What the variant scores on each split, in one table."""
    if not trained:
        return None
    best = f"validation, best epoch ({trained['best_epoch']})"
    found = {
        "training, as it goes on in the last epoch": trained["train"]["last"],
        "training, the finished model": trained["train_evaluated"],
        "validation, last epoch": trained["validation"]["last"],
        best: trained["validation"]["best"],
        "test": tested,
    }
    rows = [{"split": split, **dict.fromkeys(MEASURES), **scores} for split, scores in found.items() if scores]
    columns = [column for key, column in MEASURES.items() if key in trained["validation"]["last"]]
    return Table("Figures on each split", [Column("split", "split"), *columns], rows)


def curves_of(site: Site, name: str) -> Iterator[Picture]:
    """The curves of a variant's training."""
    variant = site.params.all_variants[name]
    path = site.workspace.training_results(name, variant) / "history.csv"
    history = site.table(path)
    if history is None:
        return
    try:
        used = techniques(outcomes.of_variant(site.workspace, variant))
    except PipelineError:
        used = frozenset()
    figure = curves.training_curves(
        history,
        title="",
        measures=curves.REGRESSOR if isinstance(variant, RegressorVariant) else curves.CLASSIFIER,
        active=[item for item in ACTIVE_IN_TRAINING if item in used],
    )
    caption = "the gap between the curves is what the network knows of its training examples alone."
    yield drawn(f"curves-{name}", figure, f"{name}: training and validation over the epochs", caption, site.copy(path))


def _mistakes(site: Site, name: str) -> Iterator[Picture]:
    variant = site.params.all_variants[name]
    folder = site.workspace.evaluation_details(variant.study, name)
    confusion = site.table(folder / "confusion_matrix.csv")
    if confusion is not None:
        classes = [str(item) for item in confusion.columns[1:]]
        yield drawn(
            "confusion",
            evaluation.confusion_matrix(confusion.iloc[:, 1:].to_numpy(dtype=np.int64), classes, title=""),
            "Which class is taken for which",
            "rows are the true classes; the stronger the colour, the more of the class are mistaken so.",
            site.copy(folder / "confusion_matrix.csv"),
        )
    bins = site.table(folder / "reliability.csv")
    if bins is not None:
        yield drawn(
            "reliability",
            evaluation.reliability(bins, title=""),
            "Calibration: how often a network is right when it is so sure",
            "points below the dashed line are answers given with more confidence than is deserved.",
            site.copy(folder / "reliability.csv"),
        )
    for file, (title, caption) in ONLY_DRAWN.items():
        table = site.copy(folder / TABLES[file]) if file in TABLES else None
        yield from copied(site, folder / f"{file}.png", title, caption, table)


def _weights(site: Site, name: str) -> list[Picture]:
    folder = site.workspace.kernels(name)
    caption = "dashed: where nearly all weights lay before training. What reaches beyond has been learnt."
    return copied(
        site, folder / "violins.png", "The weights of each layer", caption, site.copy(folder / "statistics.csv")
    )


def _origin(site: Site, name: str) -> list[tuple[str, str, str | None]]:
    """What a variant is made from besides its data, and what goes on from it: the relation, the name and its page."""
    variant = site.params.all_variants[name]
    layers_from = getattr(variant, "layers_from", None)
    followers = sorted(other for other, item in site.params.all_variants.items() if item.start_from == name)
    search = f"searches/{layers_from}.html" if layers_from in site.params.searches else None
    found = [
        ("starts from", variant.start_from, site.page_of(variant.start_from or "")),
        ("layers from", layers_from, search),
        ("member of the sweep", getattr(variant, "sweep", None), None),
        ("features", variant.features if isinstance(variant, MobileNetVariant) else None, None),
        *(("is continued by", other, site.page_of(other)) for other in followers),
    ]
    return [(relation, other, page) for relation, other, page in found if other]


def _files(site: Site, name: str) -> Table | None:
    """The outputs about the variant, with the hashes by which DVC knows them."""
    variant, workspace = site.params.all_variants[name], site.workspace
    folders = (
        workspace.training_results(name, variant),
        workspace.evaluation_details(variant.study, name),
        workspace.kernels(name),
    )
    rows = [
        {"path": path.relative_to(workspace.root).as_posix(), "md5": dvc_lock.hash_of(path)}
        for folder in folders
        for path in sorted(folder.glob("*"))
        if path.is_file()
    ]
    return Table("Outputs about this variant, with DVC's hashes", tables.FILES, rows) if rows else None
