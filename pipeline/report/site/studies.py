"""The page of a study: its questions, data, models, curves, comparison and statistics, and what its source says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation import result_files
from pipeline.io import storage
from pipeline.plots import comparison, repeats
from pipeline.plots import data as data_plots
from pipeline.report import readme
from pipeline.report.site import tables, texts, variants
from pipeline.report.site.effects import shown
from pipeline.report.site.files import Site
from pipeline.report.site.pictures import Picture, copied, drawn
from pipeline.report.site.tables import Table
from pipeline.report.site.texts import Section
from pipeline.studies.four_vs_nine import metrics as contrast_metrics
from pipeline.studies.four_vs_nine import plots as contrast_plots
from pipeline.studies.grid_search import metrics as search_metrics
from pipeline.studies.grid_search import plots as search_plots
from pipeline.studies.waves.scores import RegressorTest

ROOT = "../"
CURVES = ("accuracy", "val_accuracy", "cross_entropy", "val_cross_entropy")


def add_page(site: Site, study: str, findings: Sequence[Section], effects: pd.DataFrame) -> None:
    """Add the page of a study, or of a signal, which is one too."""
    about = next((section for section in findings if section.study == study), None)
    ours = shown(effects[effects["study"] == study])
    sources = [*site.variants_of(study), *site.searches_of(study)]
    faults = {name: fault for name in sources if (fault := site.reported_rows[study, name].fault)}
    is_signal = study in site.params.signals
    site.add_page(
        f"studies/{study}.html",
        "study.html.jinja",
        study=study,
        title=site.studies[study],
        dataset=_dataset(site, study),
        about=about,
        answers=texts.html(site, about.text, ROOT, level=3) if about else None,
        data=list(_data(site, study)),
        splits=_splits(site, study),
        models=_models(site, study),
        curves=list(_curves(site, study)),
        comparison=list(_comparison(site, study)),
        results=_signal_results(site, study) if is_signal else _results(site, study),
        statistics=_statistics(site, study),
        seeds=list(_seeds(site, study)),
        contrast=list(_contrast(site, study)),
        gains=tables.of_file(
            site, site.workspace.contrast(study) / "gains.csv", tables.GAINS, "Gains over the baseline"
        ),
        effects=Table("What each technique bought in this study", tables.EFFECTS, ours) if ours else None,
        searches=list(_searches(site, study)),
        sweeps=_sweeps(site, study),
        closing=tables.of_file(
            site, site.workspace.conclusions(study) / "closing_table.csv", tables.CLOSING, "The best of each search"
        ),
        conclusions=site.record(site.workspace.conclusions(study) / "conclusions.json").get("conclusions", []),
        overfitting=site.record(site.workspace.contrast(study) / "overfitting.json"),
        faults=faults,
    )


def _dataset(site: Site, study: str) -> str:
    return study if study in site.params.signals else site.params.studies[study].dataset


def _data(site: Site, study: str) -> Iterator[Picture]:
    folder = site.workspace.dataset_results(_dataset(site, study))
    title = site.record(folder / "statistics.json").get("title", study)
    yield from copied(
        site,
        folder / "examples.png",
        f"Examples of {title}",
        "what a network is shown.",
        adapts=study in site.params.signals,
    )
    counts = site.record(folder / "statistics.json").get("class_counts", {})
    if counts:
        names = list(next(iter(counts.values())))
        by_split = {split: np.array([values[name] for name in names]) for split, values in counts.items()}
        table = pd.DataFrame({"class": names, **by_split})
        caption = "whether classes are equally frequent, in every split alike."
        link = site.add_table(f"tables/classes/{study}.csv", table)
        yield drawn("classes", data_plots.class_counts(by_split, names), "Examples of each class", caption, link)


def _splits(site: Site, study: str) -> Table | None:
    record = site.record(site.workspace.dataset_results(_dataset(site, study)) / "statistics.json")
    digests = record.get("sha256", {})
    rows = [
        {"split": split, "num_examples": number, "sha256": digests.get(split)}
        for split, number in record.get("num_examples", {}).items()
    ]
    return Table("The splits of the data, with a digest of each", tables.SPLITS, rows) if rows else None


def _models(site: Site, study: str) -> list[tuple[str, Table]]:
    found = []
    for name in site.variants_of(study):
        path = site.workspace.evaluation_details(study, name) / "layers.csv"
        layers = tables.of_file(site, path, tables.LAYERS, f"The layers of {name}")
        if layers:
            found.append((name, layers))
    return found


def _curves(site: Site, study: str) -> Iterator[Picture]:
    if study in site.params.signals:
        for name in site.variants_of(study):
            yield from variants.curves_of(site, name)
        return
    names = site.variants_of(study)
    paths = {name: site.workspace.training_results(name, site.params.all_variants[name]) for name in names}
    histories = {
        name: table for name, folder in paths.items() if (table := site.table(folder / "history.csv")) is not None
    }
    if not histories:
        return
    parts = [table[["epoch", *CURVES]].assign(variant=name) for name, table in histories.items()]
    link = site.add_table(f"tables/curves/{study}.csv", pd.concat(parts)[["variant", "epoch", *CURVES]])
    own = list(histories)
    yield drawn(
        "accuracy",
        comparison.validation_curves(histories, "val_accuracy", own=own, title=""),
        "Validation accuracy over the epochs",
        "which variants still improve at the end, and how much they move from one epoch to the next.",
        link,
    )
    yield drawn(
        "entropy",
        comparison.validation_curves(histories, "val_cross_entropy", own=own, title=""),
        "Validation cross-entropy over the epochs, without penalties",
        "a curve that turns upwards is that of a network that overfits: surer of itself, also where it is wrong.",
        link,
    )


def _comparison(site: Site, study: str) -> Iterator[Picture]:
    if study not in site.params.studies:
        return
    folder, own = site.workspace.comparison(study), site.params.studies[study].variants
    ranking = site.table(folder / "ranking.csv")
    if ranking is None:
        return
    yield drawn(
        "ranking",
        comparison.accuracy_chart(ranking, own=own, title=""),
        "Test accuracy",
        "intervals that overlap much belong to variants that this test set can hardly tell apart.",
        site.copy(folder / "ranking.csv"),
    )
    differences = site.table(folder / "differences.csv")
    if differences is not None:
        yield drawn(
            "differences",
            comparison.difference_matrix(differences, list(ranking["variant"]), own=own, title=""),
            "Differences in test accuracy, in points",
            "a coloured cell is a significant difference between two trained models; a grey number may be chance.",
            site.copy(folder / "differences.csv"),
        )


def _results(site: Site, study: str) -> Any:
    table = site.table(site.workspace.variants_table)
    if table is None:
        return None
    text = readme.results_table(table[table["study"] == study], site.params, site.reported_accuracies)
    return texts.html(site, text.partition("\n")[2], ROOT, caption="Measured and reported test accuracy")


def _signal_results(site: Site, study: str) -> Any:
    folder = site.workspace.evaluation(study)
    differences = folder / "differences.csv"
    if not differences.is_file():
        return None
    tested = result_files.read_by_name(folder / "metrics.json", RegressorTest)
    text = readme.signal_table(site.studies[study], tested, storage.read_table(differences))
    return texts.html(site, text.partition("\n")[2], ROOT, caption="Mean absolute errors")


def _statistics(site: Site, study: str) -> Any:
    if study not in site.params.studies:
        return None
    parts = []
    if site.table(site.workspace.comparison(study) / "ranking.csv") is not None:
        parts.append(readme.differences_text(site.workspace, site.params, study))
    if (site.workspace.repeats(study) / "differences.csv").is_file():
        parts.append(readme.repeats_text(site.workspace, study))
    return texts.html(site, "\n\n".join(parts), ROOT, caption="Means over seeds") if parts else None


def _seeds(site: Site, study: str) -> Iterator[Picture]:
    folder = site.workspace.repeats(study)
    seeds, summary = site.table(folder / "seeds.csv"), site.table(folder / "summary.csv")
    if seeds is None or summary is None:
        return
    reported = {
        variant: item.test_accuracy
        for (home, variant), item in site.reported_accuracies.items()
        if home == study and item.fault is None
    }
    yield drawn(
        "seeds",
        repeats.accuracy_over_seeds(seeds, summary, reported=reported, title=""),
        "Accuracy under other seeds",
        "how far a result moves by the seed alone, and whether the source's figure lies within that.",
        site.copy(folder / "seeds.csv"),
    )


def _contrast(site: Site, study: str) -> Iterator[Picture]:
    folder = site.workspace.contrast(study)
    table = site.table(folder / "gains.csv")
    if table is None or study not in site.params.contrasts:
        return
    baseline, link = site.params.contrasts[study].baseline, site.copy(folder / "gains.csv")
    yield drawn(
        "bars",
        contrast_plots.accuracy_bars(table, baseline=baseline, title=""),
        "Validation accuracy of every setting against the baseline",
        "bars to the right of the dashed line do better than the network without the technique.",
        link,
    )
    yield drawn(
        "losses",
        contrast_plots.cross_entropy_bars(table, baseline=baseline, title=""),
        "Validation cross-entropy of every setting against the baseline",
        "here less is better: a setting may improve it and leave the accuracy as it is.",
        link,
    )
    shown = contrast_metrics.best_of_each_kind(table, baseline)
    paths = {
        name: site.workspace.training_results(name, site.params.all_variants[name]) / "history.csv" for name in shown
    }
    histories = {name: history for name, path in paths.items() if (history := site.table(path)) is not None}
    if histories:
        yield drawn(
            "learning",
            contrast_plots.learning_curves(histories, title=""),
            "The baseline, and the best of each kind by validation cross-entropy",
            "where training and validation part, a network learns its images by heart.",
            f"tables/curves/{study}.csv",
        )


def _sweeps(site: Site, study: str) -> dict[str, Any]:
    """What each sweep of a study chose, by its name."""
    names = sorted(name for name, sweep in site.params.sweeps.items() if sweep.study == study)
    return {name: outcome for name in names if (outcome := site.record(site.workspace.outcome(name)))}


def _searches(site: Site, study: str) -> Iterator[Picture]:
    path, names = site.workspace.searches_table, site.searches_of(study)
    scores = site.table(path) if names else None
    if scores is None:
        return
    ours = scores[scores["search"].isin(names)]
    by_search = {str(name): search_metrics.rank_correlation(rows) for name, rows in ours.groupby("search", sort=False)}
    figure = search_plots.reported_against_measured(
        ours, correlations=by_search, correlation=search_metrics.rank_correlation(ours), title=site.studies[study]
    )
    yield drawn(
        "searches",
        figure,
        "Every configuration of every search",
        "points near the dashed line score here what they scored in the source.",
        site.copy(path),
    )
