"""Registered models: versions by content, challenger and champion."""

from __future__ import annotations

from typing import Any

from pipeline import tracking

MODEL = "mnist-classifier"


def select(stages: Any, variant: str) -> None:
    stages.select(variant)
    tracking.publish_selection(stages.workspace, stages.params, MODEL)


def aliases(stages: Any) -> dict[str, int]:
    registered = stages.view.client.get_registered_model(MODEL).aliases
    return {alias: int(version) for alias, version in registered.items()}


def versions(stages: Any) -> list[Any]:
    return sorted(stages.view.client.search_model_versions(f"name = '{MODEL}'"), key=lambda item: int(item.version))


def trained(stages: Any) -> None:
    stages.prepare()
    stages.train("small")
    # The same file would be the same model.
    stages.train("large", seed=1.0)


def test_the_first_version_is_challenger_and_champion(stages: Any) -> None:
    trained(stages)
    select(stages, "small")
    (version,) = versions(stages)
    run = stages.view.run("digits", "small")
    assert aliases(stages) == {"challenger": 1, "champion": 1}
    model_id = run.outputs.model_outputs[0].model_id
    assert (version.run_id, version.source) == (run.info.run_id, f"models:/{model_id}")
    model = stages.view.client.get_logged_model(model_id)
    location = stages.view.client.get_model_version_download_uri(MODEL, version.version)
    assert location == model.artifact_location
    expected = {
        "variant": "small",
        "study": "digits",
        "dvc_stage": "register@mnist-classifier",
        "content_key": run.data.tags["content_key"],
        "digest_training": "1" * 64,
    }
    assert expected.items() <= version.tags.items()
    assert "| 90.00% | 0.3000 | 100 |" in version.description
    assert "It is small." in version.description


def test_selecting_the_same_again_makes_no_second_version(stages: Any) -> None:
    trained(stages)
    for _ in range(2):
        select(stages, "small")
    assert len(versions(stages)) == 1


def test_a_second_selection_is_challenger_and_the_champion_stays(stages: Any) -> None:
    trained(stages)
    select(stages, "small")
    select(stages, "large")
    assert aliases(stages) == {"challenger": 2, "champion": 1}
    assert [version.tags["variant"] for version in versions(stages)] == ["small", "large"]


def test_selecting_the_first_again_moves_the_challenger_back(stages: Any) -> None:
    trained(stages)
    for variant in ("small", "large", "small"):
        select(stages, variant)
    assert aliases(stages) == {"challenger": 1, "champion": 1}
    assert len(versions(stages)) == 2


def test_a_promotion_by_hand_is_kept(stages: Any) -> None:
    trained(stages)
    select(stages, "small")
    select(stages, "large")
    stages.view.client.set_registered_model_alias(MODEL, "champion", "2")
    select(stages, "large")
    assert aliases(stages) == {"challenger": 2, "champion": 2}


def test_the_selection_is_a_run_of_its_own(stages: Any) -> None:
    trained(stages)
    select(stages, "small")
    run = stages.view.run("model-selection", "register@mnist-classifier")
    assert run.data.params["selected"] == "small"
    assert run.data.metrics["val_accuracy"] == 0.9
    assert run.data.metrics["num_candidates"] == 2
    assert stages.view.files(run, "selection") == {"mnist-classifier.json"}
