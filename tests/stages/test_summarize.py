from __future__ import annotations

from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.stages import summarize

HEADER = (
    "variant,study,dataset,family,params,epochs,best_epoch,val_loss,val_accuracy,test_loss,test_accuracy,"
    "test_accuracy_low,test_accuracy_high,reported_test_accuracy,difference"
)


def test_every_variant_has_a_row_in_each_study_that_lists_it(results: Workspace, params: Params) -> None:
    summarize.main(results, params, "all")
    assert results.variants_table.read_text().splitlines() == [
        HEADER,
        "narrow,first,shapes,mlp,100,3,2,0.12,0.97,0.14,0.965,0.955,0.973,0.961,0.004",
        "wide,first,shapes,mlp,400,3,2,0.1,0.98,0.11,0.975,0.965,0.983,0.98,-0.005",
        "wide,second,shapes,mlp,400,3,2,0.1,0.98,0.11,0.975,0.965,0.983,0.1,0.875",
        "deep,second,shapes,mlp,300,3,2,0.13,0.979,0.15,0.975,0.965,0.983,,",
    ]


def test_dvc_shows_a_few_metrics_of_each_variant(results: Workspace, params: Params) -> None:
    summarize.main(results, params, "all")
    shown = {path.stem: storage.read_json(path) for path in results.headline("wide").parent.iterdir()}
    assert shown == {
        "narrow": {"val_accuracy": 0.97, "test_accuracy": 0.965},
        "wide": {"val_accuracy": 0.98, "test_accuracy": 0.975},
        "deep": {"val_accuracy": 0.979, "test_accuracy": 0.975},
    }


def test_reported_columns_are_empty_on_embedded_data(results: Workspace, content: dict[str, Any]) -> None:
    content["sources"]["shape-files"] = {
        "kind": "embedded",
        "images": "digits",
        "train_size": 9,
        "test_size": 9,
        "seed": 0,
    }
    content["datasets"]["shapes"]["demonstration"] = True
    results.reported_results.unlink()
    summarize.main(results, Params.model_validate(content), "all")
    table = storage.read_table(results.variants_table)
    assert len(table) == 4
    assert table[["reported_test_accuracy", "difference"]].isna().all(axis=None)


def test_a_variant_that_left_params_is_not_reported(results: Workspace, content: dict[str, Any]) -> None:
    del content["variants"]["wide"]
    for study in content["studies"].values():
        study["variants"].remove("wide")
    reported = YAML(typ="safe").load(results.reported_results)
    without = {study: {name: row for name, row in rows.items() if name != "wide"} for study, rows in reported.items()}
    storage.write_json(results.reported_results, without)
    summarize.main(results, Params.model_validate(content), "all")
    assert list(storage.read_table(results.variants_table)["variant"]) == ["narrow", "deep"]


def test_missing_results_are_named(results: Workspace, params: Params) -> None:
    missing = results.evaluation("second") / "metrics.json"
    missing.unlink()
    with pytest.raises(PipelineError, match=f"{missing}: expected a JSON object, but the file is missing"):
        summarize.main(results, params, "all")
    assert not results.variants_table.exists()


def test_another_name_is_refused(results: Workspace, params: Params) -> None:
    with pytest.raises(PipelineError, match="summarize: expected 'all' as name, got 'first'"):
        summarize.main(results, params, "first")
