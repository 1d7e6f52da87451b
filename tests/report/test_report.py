from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.evaluation import tables
from pipeline.evaluation.reported import ReportedAccuracy
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.report import readme, terminal

MLP = {
    "family": "mlp",
    "engine": "jax",
    "dataset": "shapes",
    "layers": [],
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "batch_size": 1,
    "epochs": 1,
}
PARAMS = Params.model_validate(
    {
        "compute": {"seed": 1, "threads": 1},
        "sources": {"shapes": {"kind": "idx_files", "folder": "shapes", "urls": [], "sha256": {}}},
        "datasets": {
            "shapes": {
                "title": "Shapes",
                "source": "shapes",
                "classes": ["disc", "star"],
                "split": {"validation_size": 10, "seed": 0},
                "example": 0,
            }
        },
        "studies": {
            "first": {
                "title": "First study",
                "dataset": "shapes",
                "shared_from": "first",
                "tolerance": 0.004,
                "variants": ["narrow"],
            },
            "second": {
                "title": "Second study",
                "dataset": "shapes",
                "shared_from": "second",
                "tolerance": 0.006,
                "variants": ["deep"],
            },
        },
        "tasks": {
            "shape-classifier": {
                "dataset": "shapes",
                "candidates": "shapes",
                "metric": "val_accuracy",
                "tolerance": 0.002,
                "prefer_fewer_parameters": True,
            }
        },
        "variants": {"narrow": {**MLP, "study": "first"}, "deep": {**MLP, "study": "second"}},
    }
)
REPORTED = {
    ("first", "narrow"): ReportedAccuracy(0.9650, None),
    ("first", "wide"): ReportedAccuracy(0.9900, None),
    ("first", "revived"): ReportedAccuracy(0.0892, "the source's network was dead."),
}


HEADER = "| variant | parameters | epochs | validation | test (95 % interval) | reported | difference |"


def row(variant: str, study: str, test_accuracy: float) -> dict[str, object]:
    reported = REPORTED.get((study, variant))
    return {
        "variant": variant,
        "study": study,
        "dataset": "shapes",
        "family": "mlp",
        "engine": "jax",
        "params": 55_050,
        "epochs": 30,
        "best_epoch": 28,
        "val_loss": 0.1,
        "val_accuracy": 0.9761,
        "test_loss": 0.12,
        "test_accuracy": test_accuracy,
        "test_accuracy_low": test_accuracy - 0.01,
        "test_accuracy_high": test_accuracy + 0.01,
        "reported_test_accuracy": reported.test_accuracy if reported else None,
        "difference": test_accuracy - reported.test_accuracy if reported else None,
    }


VARIANTS = tables.variants_table(
    [
        row("narrow", "first", 0.9688),
        row("wide", "first", 0.9805),
        row("revived", "first", 0.9770),
        row("deep", "second", 0.9),
    ]
)


def test_results_table_sets_measured_beside_reported() -> None:
    assert readme.results_table(VARIANTS, PARAMS, REPORTED).splitlines() == [
        "### First study",
        "",
        f"{HEADER} within 0.4 points |",
        "| --- | --: | --: | --: | --: | --: | --: | :-: |",
        "| `narrow` | 55,050 | 30 | 97.61 % | 96.88 % (95.88–97.88) | 96.50 % | +0.38 | yes |",
        "| `wide` | 55,050 | 30 | 97.61 % | 98.05 % (97.05–99.05) | 99.00 % | -0.95 | **no** |",
        "| `revived` | 55,050 | 30 | 97.61 % | 97.70 % (96.70–98.70) | 8.92 % | +88.78 | not comparable (1) |",
        "",
        "1. `revived`: the source's network was dead.",
        "",
        "### Second study",
        "",
        f"{HEADER} within 0.6 points |",
        "| --- | --: | --: | --: | --: | --: | --: | :-: |",
        "| `deep` | 55,050 | 30 | 97.61 % | 90.00 % (89.00–91.00) | – | – | – |",
    ]


def test_readme_keeps_what_stands_around_the_table() -> None:
    text = f"# Title\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    assert readme.update(text, "new", "README") == f"# Title\n{readme.BEGIN}\nnew\n{readme.END}\nafter\n"


@given(st.text(), st.text(), st.text())
def test_updating_the_readme_twice_changes_nothing_more(before: str, table: str, after: str) -> None:
    once = readme.update(f"{before}{readme.BEGIN}{readme.END}{after}", table, "README")
    assert readme.update(once, table, "README") == once
    assert once.startswith(before)
    assert once.endswith(after)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no markers", f"got 0 of {readme.BEGIN}"),
        (f"{readme.BEGIN}\n", f"got 0 of {readme.END}"),
        (f"{readme.BEGIN}\n{readme.BEGIN}\n{readme.END}", f"got 2 of {readme.BEGIN}"),
        (f"{readme.END}\n{readme.BEGIN}\n", "the other way round"),
    ],
)
def test_missing_markers_are_named(text: str, problem: str) -> None:
    with pytest.raises(PipelineError, match=f"README: expected one line .*{problem}"):
        readme.update(text, "table", "README")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    storage.write_table(workspace.variants_table, VARIANTS)
    storage.write_json(workspace.selection("shape-classifier"), {"selected": "narrow", "reason": "It is small."})
    return workspace


def shown(workspace: Workspace, runs: str = "make ui DEMO=1", width: int = 200) -> str:
    console = Console(width=width, file=io.StringIO())
    with console.capture() as capture:
        console.print(terminal.summary(workspace, PARAMS, runs=runs))
    return capture.get()


def test_summary_shows_variants_selection_and_where_to_look(workspace: Workspace) -> None:
    lines = shown(workspace).splitlines()

    def cells(word: str) -> list[str]:
        line = next(line for line in lines if word in line)
        return [cell.strip() for cell in line.strip("│").split("│")]

    assert cells("narrow") == ["narrow", "55,050", "97.61 %", "96.88 %", "95.88–97.88", "96.50 %"]
    assert cells("deep") == ["deep", "55,050", "97.61 %", "90.00 %", "89.00–91.00", "–"]
    assert cells("shape-classifier") == ["shape-classifier", "narrow", "It is small."]
    assert cells("first")[0] == "first"
    assert "make ui DEMO=1" in shown(workspace)
    assert "dvc dag" in shown(workspace)


def test_summary_without_reported_accuracies_has_no_column_for_them(workspace: Workspace) -> None:
    table = VARIANTS.assign(reported_test_accuracy=None, difference=None)
    storage.write_table(workspace.variants_table, table)
    table_of_variants = shown(workspace).partition("Selected on validation figures")[0]
    assert "95 % interval" in table_of_variants
    assert "reported" not in table_of_variants


def test_summary_fits_a_narrow_terminal(workspace: Workspace) -> None:
    assert max(map(len, shown(workspace, width=80).splitlines())) <= 80


def test_the_report_is_named_by_an_address_that_a_terminal_opens(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "a study")
    assert terminal.report(workspace) == "There is no report yet: run `make report`."
    storage.write_bytes(workspace.site / "index.html", b"")
    assert terminal.report(workspace) == f"The report: file://{tmp_path}/a%20study/site/index.html"


def test_summary_before_any_results_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"variants\.csv: expected a CSV table, but the file is missing"):
        terminal.summary(Workspace(tmp_path), PARAMS, runs="make ui")


def test_nothing_measured_makes_an_empty_table() -> None:
    assert readme.results_table(pd.DataFrame(columns=list(tables.VARIANTS_COLUMNS)), PARAMS, {}) == ""


PAIR = {"accuracy_verdict": "no significant difference", "cross_entropy_verdict": "narrow is better"}


def save_comparison(workspace: Workspace, pairs: list[dict[str, object]], accuracies: dict[str, float]) -> None:
    folder = workspace.comparison("first")
    storage.write_table(folder / "differences.csv", pd.DataFrame(pairs, columns=["first", "second", *PAIR]))
    ranking = pd.DataFrame({"variant": list(accuracies), "test_accuracy": list(accuracies.values())})
    storage.write_table(folder / "ranking.csv", ranking)


def params_with(*names: str) -> Params:
    """The first study lists these variants and no others."""
    variants = {name: {**MLP, "study": "first"} for name in names}
    content = PARAMS.model_dump(exclude_defaults=True, exclude={"variants"})
    content["studies"]["first"]["variants"] = names
    return Params.model_validate({**content, "variants": {**variants, "deep": {**MLP, "study": "second"}}})


def test_the_readme_tells_whom_the_best_cannot_be_told_from(workspace: Workspace) -> None:
    accuracies = {"narrow": 0.98, "wide": 0.97, "flat": 0.90, "beside": 0.99}
    pairs: list[dict[str, object]] = [
        {"first": "wide", "second": "narrow", **PAIR},
        {"first": "narrow", "second": "flat", **PAIR, "accuracy_verdict": "narrow is better"},
        # Of another study: better than all, and not the best of this one.
        {"first": "beside", "second": "narrow", **PAIR, "accuracy_verdict": "beside is better"},
    ]
    save_comparison(workspace, pairs, accuracies)
    assert readme.differences_text(workspace, params_with("narrow", "wide", "flat"), "first") == (
        "Significant differences between variants: 2 of 3 in test accuracy, 3 of 3 in test cross-entropy (Holm's "
        "correction, 5 %). The best of the study, `narrow`, cannot be told in test accuracy from `wide`. Of the "
        "variants that the study is set beside, better than it are `beside`."
    )
    save_comparison(workspace, pairs[1:2], accuracies)
    told = readme.differences_text(workspace, params_with("narrow", "flat"), "first")
    assert told.endswith(
        "The best of the study, `narrow`, is better in test accuracy than every other of its variants."
    )


def test_a_study_of_one_variant_says_so(workspace: Workspace) -> None:
    save_comparison(workspace, [], {"narrow": 0.98})
    assert readme.differences_text(workspace, params_with("narrow"), "first") == (
        "There is one variant: nothing to compare."
    )


def test_remarks_follow_the_table_of_their_study() -> None:
    text = readme.results_table(VARIANTS, PARAMS, REPORTED, {"first": ["One.", "Two."]})
    assert "dead.\n\nOne.\n\nTwo.\n\n### Second study" in text


def test_a_lone_regressor_is_compared_with_always_the_mean() -> None:
    row = {"first": "net", "second": "always_the_mean", "difference": -0.2, "low": -0.25, "high": -0.15}
    table = pd.DataFrame([{**row, "p_value": 0.0002, "holm_p_value": 0.0002, "verdict": "net is better"}])
    errors = dict.fromkeys(("mean_absolute_error", "validation_mean_absolute_error", "curve_error"), 0.25)
    net: Any = SimpleNamespace(**errors, reported_mean_absolute_error=None, extended=SimpleNamespace(**errors))
    assert readme.signal_table("Hums", {"net": net}, table).splitlines()[-3:] == [
        "| `net` | 0.2500 | 0.2500 | – | 0.2500 | 0.2500 | 0.2500 |",
        "",
        "The only regressor is compared with always predicting the mean. Differences in the mean absolute test error "
        "(95 % interval, paired bootstrap, Holm's correction): `net` against `always_the_mean` -0.2000 (-0.2500 to "
        "-0.1500), net is better.",
    ]


def test_repeats_are_told_with_their_spread_and_what_remains_real(workspace: Workspace) -> None:
    figures = {"val_accuracy_mean": 0.98, "val_accuracy_std": 0.0015, "test_accuracy_mean": 0.97}
    figures |= {"test_cross_entropy_mean": 0.1, "test_cross_entropy_std": 0.002}
    row = {"variant": "narrow", "num_seeds": 5, **figures, "test_accuracy_std": 0.001}
    summary = pd.DataFrame([{**row, "test_accuracy_low": 0.965, "test_accuracy_high": 0.975}])
    storage.write_table(workspace.repeats("first") / "summary.csv", summary)
    pair = {
        "first": "narrow",
        "second": "wide",
        "accuracy_difference": 0.002,
        "accuracy_verdict": "narrow is better",
        "cross_entropy_verdict": "no significant difference",
    }
    storage.write_table(workspace.repeats("first") / "differences.csv", pd.DataFrame([pair]))
    assert readme.repeats_text(workspace, "first").splitlines() == [
        "Trained under several seeds, mean ± standard deviation:",
        "",
        "| variant | seeds | validation | test | 95 % interval of the test mean | test cross-entropy |",
        "| --- | --: | --: | --: | --: | --: |",
        "| `narrow` | 5 | 98.00 % ± 0.15 | 97.00 % ± 0.10 | 96.50–97.50 | 0.1000 ± 0.0020 |",
        "",
        "Significant differences between variants: 1 of 1 in test accuracy, 0 of 1 in test cross-entropy (Holm's "
        "correction, 5 %). Both the seeds and the test images are taken as a sample. Test accuracy, in points: "
        "`narrow` against `wide` +0.20, narrow is better.",
    ]
