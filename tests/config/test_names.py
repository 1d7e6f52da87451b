"""Names in the parameters: none leads out of its folder, and none is misread by DVC."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.load import load_params
from pipeline.errors import PipelineError
from tests import params_files
from tests.config.small_params import CONTENT, DEEP, Edit, fresh

# Of files, of folders, and of words that DVC puts into a command line.
PATH_TRICKS = ("../x", "..", "/etc", "a/b", "a/../b", "~", "$HOME", "x$(touch pwned)", "x & touch pwned", "x\n", "x\0")


@pytest.mark.parametrize("section", [key for key in CONTENT if key != "compute"])
def test_a_name_that_is_a_way_out_of_its_folder(root: Path, section: str) -> None:
    content = fresh()
    some = next(iter(content[section].values()))
    content[section] |= dict.fromkeys(PATH_TRICKS, some)
    params_files.write(root, content)
    with pytest.raises(PipelineError) as raised:
        load_params(root)
    for name in PATH_TRICKS:
        assert f"{section}.{name}: expected text that matches ^[a-z][a-z0-9_-]*$, got {name!r}." in str(raised.value)


@pytest.mark.parametrize("name", PATH_TRICKS)
def test_a_reference_that_is_a_way_out_of_its_folder(error_after: Edit, name: str) -> None:
    keys = {
        "sources.digit-files.folder",
        "datasets.mnist.source",
        "features.pooled.dataset",
        "features.pooled.weights",
        "studies.digits.dataset",
        "studies.digits.shared_from",
        "studies.digits.variants.0",
        "tasks.digit-classifier.dataset",
        "variants.deep.study",
        "variants.deep.dataset",
        "warm_started.longer.start_from",
        "searches.grid.study",
        "derived.grid.layers_from",
        "transfers.mobile.features",
    }
    # Below a mirror there are folders.
    if name != "a/b":
        keys.add("weights.published.mirrored.url")
    told = error_after(dict.fromkeys(keys, name))
    assert {key for key in keys if f"{key}: expected" in told} == keys


@pytest.mark.parametrize("name", PATH_TRICKS)
def test_candidates_are_no_way_out_of_their_folder(error_after: Edit, name: str) -> None:
    for candidates in (name, f"mnist/{name}"):
        assert "tasks.digit-classifier.candidates: expected" in error_after(
            {"tasks.digit-classifier.candidates": candidates}
        )


@pytest.mark.parametrize("name", ["../evil.gz", "/etc/passwd", "a/b.gz", ".hidden", "", "a\\b", "a\n"])
def test_a_file_that_is_a_way_out_of_its_folder(root: Path, name: str) -> None:
    content = fresh()
    content["sources"]["digit-files"]["sha256"] = {name: "0" * 64}
    params_files.write(root, content)
    with pytest.raises(PipelineError) as raised:
        load_params(root)
    told = f"sources.digit-files.sha256.{name}: expected text that matches ^[A-Za-z0-9][A-Za-z0-9._-]*$, got {name!r}."
    assert told in str(raised.value)


@pytest.mark.parametrize("name", ["Upper", "2layers", "", "a b"])
def test_a_name_that_dvc_would_misread(error_after: Edit, name: str) -> None:
    assert error_after({"variants": {name: DEEP, **CONTENT["variants"]}}) == (
        f"variants.{name}: expected text that matches ^[a-z][a-z0-9_-]*$, got {name!r}."
    )


def test_a_number_as_name(error_after: Edit) -> None:
    variants = {64: DEEP, **CONTENT["variants"]}
    assert error_after({"variants": variants}) == "variants.64: expected a valid string, got 64."


@pytest.mark.parametrize("name", ["mlp", "cnn", "embedded", "idx_files"])
def test_a_name_that_is_also_a_kind_is_kept_in_the_key(error_after: Edit, name: str) -> None:
    assert error_after({f"variants.{name}": {**DEEP, "epochs": 0}}) == (
        f"variants.{name}.epochs: expected greater than 0, got 0."
    )
    study = {**CONTENT["studies"]["digits"], "title": 3}
    assert error_after({f"studies.{name}": study}) == f"studies.{name}.title: expected a valid string, got 3."
    source = {**CONTENT["sources"]["drawn"], "seed": -1}
    assert error_after({f"sources.{name}": source}) == (
        f"sources.{name}.seed: expected greater than or equal to 0, got -1."
    )
    dataset = {**CONTENT["datasets"]["garments"], "example": -1}
    assert error_after({f"datasets.{name}": dataset}) == (
        f"datasets.{name}.example: expected greater than or equal to 0, got -1."
    )
