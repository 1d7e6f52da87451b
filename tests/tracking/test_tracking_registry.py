"""Registered models: versions by content, their cards, challenger and champion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.io import storage
from pipeline.tracking import publish, registry

MODEL = "mnist-classifier"


def select(stages: Any, variant: str) -> None:
    stages.select(variant)
    publish.publish(stages.workspace, stages.params, "register", MODEL)


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


def test_the_first_version_is_champion(stages: Any) -> None:
    trained(stages)
    select(stages, "small")
    (version,) = versions(stages)
    run = stages.view.run("digits", "small")
    assert aliases(stages) == {"champion": 1}
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
    assert version.description.startswith("# mnist-classifier: `small`")
    assert "| validation | 90.00 % | 0.3000 |" in version.description
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


def test_selecting_the_champion_again_leaves_no_challenger(stages: Any) -> None:
    trained(stages)
    for variant in ("small", "large", "small"):
        select(stages, variant)
    assert aliases(stages) == {"champion": 1}
    assert len(versions(stages)) == 2


def test_a_promotion_by_hand_is_kept(stages: Any) -> None:
    trained(stages)
    select(stages, "small")
    select(stages, "large")
    stages.view.client.set_registered_model_alias(MODEL, "champion", "2")
    select(stages, "large")
    assert aliases(stages) == {"champion": 2}


def test_the_selection_is_a_run_of_its_own(stages: Any) -> None:
    trained(stages)
    select(stages, "small")
    run = stages.view.run("model-selection", "register@mnist-classifier")
    assert run.data.params["selected"] == "small"
    assert run.data.metrics["val_accuracy"] == 0.9
    assert run.data.metrics["num_candidates"] == 2
    assert stages.view.files(run, "selection") == {"mnist-classifier.json"}


def card_of(stages: Any, variant: str) -> str:
    run = stages.view.run("digits", variant)
    path = stages.view.client.download_artifacts(run.info.run_id, f"model_card/{MODEL}.md")
    return str(Path(path).read_text())


def test_a_version_shows_its_card_and_its_run_keeps_it(stages: Any) -> None:
    trained(stages)
    stages.evaluate()
    select(stages, "small")
    (version,) = versions(stages)
    assert version.description == card_of(stages, "small")
    assert "| test (10) | 75.00 % (59.58–98.21) | 0.5000 |" in version.description
    assert "| zero | 3 | · | 1 | 0.750 | 1.000 |" in version.description
    assert "Expected calibration error (15 bins): 40.00 %." in version.description
    assert "- Most frequent mistake: zero taken for two, 1 time." in version.description
    assert f"SHA-256 `{storage.sha256(stages.keras_file)}`" in version.description


def test_an_evaluation_completes_the_card_and_the_digests_of_a_version(stages: Any) -> None:
    trained(stages)
    select(stages, "small")
    (before,) = versions(stages)
    assert "Not evaluated on the test set yet." in before.description
    assert "digest_testing" not in before.tags
    stages.evaluate()
    publish.publish(stages.workspace, stages.params, "evaluate", "digits")
    (after,) = versions(stages)
    assert "| test (10) |" in after.description
    assert after.tags["digest_testing"] == "3" * 64
    assert card_of(stages, "small") == after.description


def test_an_evaluation_while_no_selection_is_there_completes_the_card(stages: Any) -> None:
    """As after Ctrl-C during `register`: DVC removes what a stage is about to make."""
    trained(stages)
    select(stages, "small")
    stages.evaluate()
    stages.workspace.selection(MODEL).unlink()
    publish.publish(stages.workspace, stages.params, "evaluate", "digits")
    (version,) = versions(stages)
    assert "- Not the present selection.\n" in version.description


def test_the_evaluation_of_another_training_is_not_on_the_card(stages: Any) -> None:
    trained(stages)
    stages.evaluate()
    model = stages.workspace.model("small", stages.params.all_variants["small"])
    model.write_bytes(model.read_bytes() + b"another")
    select(stages, "small")
    (version,) = versions(stages)
    assert "Not evaluated on the test set yet." in version.description


def test_sync_rebuilds_the_cards_of_versions_that_are_not_selected_any_more(stages: Any) -> None:
    stages.everything()
    stages.train("large", seed=1.0)
    publish.synchronize(stages.workspace, stages.params)
    stages.select("large")
    publish.synchronize(stages.workspace, stages.params)
    first, second = versions(stages)
    assert "- Not the present selection, which is `large`." in first.description
    stages.view.client.update_model_version(MODEL, first.version, "scribbled")
    run = stages.view.run("digits", "small")
    artifacts = Path(run.info.artifact_uri.removeprefix("file://")) / "model_card"
    (artifacts / f"{MODEL}.md").unlink()
    report = publish.synchronize(stages.workspace, stages.params)
    assert report.repaired == [f"registered model: {MODEL}"]
    assert [item.description for item in versions(stages)] == [first.description, second.description]
    assert card_of(stages, "small") == first.description
    assert publish.synchronize(stages.workspace, stages.params).num_changes == 0


def test_a_card_that_a_database_cannot_hold_ends_with_a_whole_line() -> None:
    long = "\n".join(f"- line {number}" for number in range(1000))
    shown = registry.card_description(long)
    assert len(shown) <= 5000
    *lines, _, note = shown.splitlines()
    assert lines == long.splitlines()[: len(lines)]
    assert note == "The whole card is an artifact of the version's run."
    assert registry.card_description("short") == "short"
