"""The study as one `dvc repro` builds it, in its folder, in Git and in DVC."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.study.workspace import EPOCHS, RESULTS, STAGES, VARIANTS_OF_STUDY, WITHOUT_OUTPUTS, Built


def test_one_repro_runs_every_stage_and_first_checks_the_parameters_and_last_completes_mlflow(built: Built) -> None:
    assert set(built.ran[1:-1]) == STAGES
    assert (built.ran[0], built.ran[-1]) == ("check", "sync")
    assert set(built.study.dvc("stage", "list", "--all", "--name-only").split()) == STAGES | WITHOUT_OUTPUTS


def test_repro_leaves_nothing_but_the_lock_file_and_results_to_git(built: Built) -> None:
    assert sorted(built.untracked) == ["?? dvc.lock", "?? results/"]
    tracked = built.study.git("ls-files", "results").splitlines()
    assert {Path(name).suffix for name in tracked} == {".csv", ".json", ".png"}
    leftovers = [path for path in built.study.root.rglob(".*.tmp") if "cache" not in path.parts]
    assert leftovers == []


def test_second_repro_runs_nothing_and_is_quick(built: Built) -> None:
    assert built.study.status() == {}
    assert built.second_repro == []
    assert built.second_repro_seconds < 20
    assert built.study.git("status", "--porcelain") == ""


def test_table_of_all_variants_has_a_row_per_study_and_variant(built: Built) -> None:
    rows = built.study.table("results/variants.csv")
    assert ",".join(rows[0]) == (
        "variant,study,dataset,family,params,epochs,best_epoch,val_loss,val_accuracy,test_loss,test_accuracy,"
        "test_accuracy_low,test_accuracy_high,reported_test_accuracy,difference"
    )
    expected = {(study, variant) for study, variants in VARIANTS_OF_STUDY.items() for variant in variants}
    assert len(rows) == len(expected)
    assert {(row["study"], row["variant"]) for row in rows} == expected
    for row in rows:
        assert (row["dataset"], row["family"], int(row["epochs"])) == ("digits", "mlp", EPOCHS[row["variant"]])
        assert float(row["test_accuracy_low"]) < float(row["test_accuracy"]) < float(row["test_accuracy_high"])
        # What the sources report is not about this data.
        assert row["reported_test_accuracy"] == row["difference"] == ""


def test_shared_variant_is_trained_once_and_has_the_same_figures_in_both_studies(built: Built) -> None:
    first, second = (
        {key: value for key, value in row.items() if key != "study"}
        for row in built.study.table("results/variants.csv")
        if row["variant"] == "shared"
    )
    assert first == second
    assert len(list(built.study.root.glob("models/**/shared.keras"))) == 1
    assert len(list(built.study.root.glob("predictions/*/shared.npz"))) == 2


def test_dag_leads_from_fetch_to_register(built: Built) -> None:
    edges = set(re.findall(r'"([^"]+)" -> "([^"]+)"', built.study.dvc("dag", "--dot")))
    assert edges >= {
        ("fetch@digits", "prepare@digits"),
        ("prepare@digits", "train@penalized"),
        ("train@shared", "warm_start@continued"),
        ("warm_start@continued", "evaluate@basics"),
        ("train@shared", "evaluate@extras"),
        ("evaluate@basics", "compare@basics"),
        ("evaluate@extras", "summarize"),
        ("train@penalized", "register@digit-classifier"),
        ("prepare@digits", "search@widths"),
        ("search@widths", "derive@refitted"),
        ("derive@refitted", "evaluate@extras"),
        ("search@widths", "tabulate"),
    }
    # The choice must not depend on test figures.
    assert not [source for source, target in edges if target.startswith("register") and "evaluate" in source]


def test_metrics_show_has_a_short_row_of_each_variant(built: Built) -> None:
    metrics = json.loads(built.study.dvc("metrics", "show", "--json", "results/metrics"))[""]["data"]
    variants = set.union(*VARIANTS_OF_STUDY.values())
    assert metrics.keys() == {f"results/metrics/{variant}.json" for variant in variants}
    for study, names in VARIANTS_OF_STUDY.items():
        scores = json.loads((built.study.root / f"results/evaluate/{study}/metrics.json").read_text())
        assert scores.keys() == names
        for name, score in scores.items():
            # Every test example is scored.
            assert score["num_examples"] == 100
            assert metrics[f"results/metrics/{name}.json"]["data"]["test_accuracy"] == score["accuracy"]
    assert max(map(len, built.study.dvc("metrics", "show", "results/metrics").splitlines())) <= 120


def test_plots_show_writes_a_page_with_curves_and_pictures(built: Built, tmp_path: Path) -> None:
    built.study.dvc("plots", "show", "--out", str(tmp_path / "page"))
    page = (tmp_path / "page" / "index.html").read_text()
    assert f"{RESULTS}/history.csv" in page
    pictures = {path.name for path in (tmp_path / "page" / "static").iterdir()}
    assert "workspace_results_data_digits_examples.png" in pictures
    assert "workspace_results_train_digits_extras_penalized_curves.png" in pictures
    assert "workspace_results_compare_basics_validation_accuracy_top5.png" in pictures
