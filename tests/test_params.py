"""params.yaml: what loads, and the text of every error, key by key as the user finds it in the file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import parse_yaml
from pydantic import ValidationError
from ruamel.yaml import YAML

from pipeline.errors import PipelineError
from pipeline.params import CnnVariant, MlpVariant, Params, load_params, require

Edit = Callable[..., str]
REQUIRED = "required, but missing. Add it."
UNKNOWN_KEY = "unknown key. Remove it, or correct its spelling."
STUDIES = "expected one of activity, digits, fashion"
VARIANTS = "expected one of conv, deep, wide"
DEEP = {
    "study": "digits",
    "dataset": "mnist",
    "family": "mlp",
    "layers": [{"units": 8}, {"units": 4, "dropout": 0.5}],
    "optimizer": {"name": "adam", "learning_rate": 0.001},
    "batch_size": 16,
    "epochs": 3,
}
CONV = {
    **DEEP,
    "study": "fashion",
    "dataset": "garments",
    "family": "cnn",
    "blocks": [{"filters": 4, "padding": "same"}],
    "schedule": [{"from_epoch": 2, "learning_rate": 0.0001}],
}
CONTENT = {
    "compute": {"seed": 1, "threads": 2},
    "datasets": {
        "mnist": {
            "title": "MNIST",
            "source": {
                "kind": "idx_files",
                "folder": "mnist",
                "urls": ["https://x.test/"],
                "sha256": {"a.gz": "0" * 64},
            },
            "classes": ["zero", "one"],
            "split": {"validation_size": 10, "seed": 7},
            "example": 0,
        },
        "garments": {
            "title": "Garments",
            "source": {"kind": "embedded", "images": "garments", "train_size": 20, "test_size": 10, "seed": 1},
            "classes": ["shirt", "dress"],
            "split": {"validation_size": 5, "seed": 7},
            "example": 0,
        },
    },
    "studies": {
        "digits": {"title": "Digits", "dataset": "mnist", "tolerance": 0.004, "shared_from": "digits"},
        "activity": {"title": "Activity", "dataset": "mnist", "tolerance": 0.004, "shared_from": "digits"},
        "fashion": {"title": "Fashion", "dataset": "garments", "tolerance": 0.006, "shared_from": "fashion"},
    },
    "tasks": {
        "digit-classifier": {
            "dataset": "mnist",
            "metric": "val_accuracy",
            "tolerance": 0.002,
            "prefer_fewer_parameters": True,
        }
    },
    "variants": {"deep": DEEP, "wide": {**DEEP, "also_in": ["activity"]}, "conv": CONV},
    "warm_started": {"longer": {**DEEP, "start_from": "deep", "epochs": 1}},
}


def fresh() -> dict[str, Any]:
    """CONTENT with no part in two places, so that a change changes one."""
    return json.loads(json.dumps(CONTENT))


def position(section: Any, key: str) -> Any:
    return int(key) if isinstance(section, list) else key


def write(path: Path, content: Any) -> Path:
    text = io.StringIO()
    yaml = YAML(typ="safe")
    yaml.sort_base_mapping_type_on_output = False
    yaml.dump(content, text)
    path.write_text(text.getvalue())
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small valid params.yaml with every section and both families."""
    return write(tmp_path / "params.yaml", fresh())


@pytest.fixture
def error_after(file: Path) -> Edit:
    """Set (with ... delete) values at dotted keys, load the file, and return the error without the file's name."""

    def edit(changes: dict[str, Any]) -> str:
        content = fresh()
        for key, value in changes.items():
            *parents, last = key.split(".")
            section: Any = content
            for parent in parents:
                section = section[position(section, parent)]
            if value is ...:
                del section[position(section, last)]
            else:
                section[position(section, last)] = value
        write(file, content)
        with pytest.raises(PipelineError) as raised:
            load_params(file)
        lines = str(raised.value).splitlines()
        assert all(line.startswith(f"{file}: ") for line in lines)
        return "\n".join(line.removeprefix(f"{file}: ") for line in lines)

    return edit


def test_the_files_of_the_project_load(repository: Path) -> None:
    full = load_params(repository / "params.yaml")
    demo = load_params(repository / "demo" / "params.yaml")
    assert {"handwritten-digits", "regularization-activity", "fashion"} <= full.studies.keys()
    assert all(dataset.source.kind == "idx_files" for dataset in full.datasets.values())
    assert all(dataset.source.kind == "embedded" for dataset in demo.datasets.values())


def test_the_demo_has_every_family_a_warm_start_a_shared_variant_and_a_schedule(repository: Path) -> None:
    variants = load_params(repository / "demo" / "params.yaml").all_variants.values()
    full = load_params(repository / "params.yaml").all_variants.values()
    assert {variant.family for variant in variants} == {variant.family for variant in full}
    for feature in ("start_from", "also_in", "schedule"):
        assert any(getattr(variant, feature) for variant in variants), feature


def test_sections_become_typed_objects(file: Path) -> None:
    params = load_params(file)
    assert isinstance(params.variants["deep"], MlpVariant)
    assert isinstance(params.variants["conv"], CnnVariant)
    assert params.variants["deep"].layers[1].dropout == 0.5
    assert params.variants["deep"].layers[0].dropout == 0.0
    assert params.datasets["mnist"].classes == ("zero", "one")


def test_values_cannot_change(file: Path) -> None:
    params = load_params(file)
    with pytest.raises(ValidationError, match="frozen"):
        params.compute.seed = 2


def test_groups_and_memberships(file: Path) -> None:
    params = load_params(file)
    assert list(params.all_variants) == ["deep", "wide", "conv", "longer"]
    assert list(params.variants_of("digits")) == ["deep", "wide", "longer"]
    assert list(params.variants_of("activity")) == ["wide"]
    assert list(params.candidates_for("digit-classifier")) == ["deep", "wide", "longer"]
    assert params.variants["wide"].studies == ("digits", "activity")
    assert params.variant_group("deep") == "variants"
    assert params.variant_group("longer") == "warm_started"


def test_warm_started_may_be_absent(file: Path) -> None:
    write(file, {key: value for key, value in CONTENT.items() if key != "warm_started"})
    assert load_params(file).warm_started == {}


@pytest.mark.parametrize("text", ["1e-4", "1.0e-4", "0.0001", "1E-4"])
def test_numbers_are_read_as_dvc_reads_them(file: Path, text: str) -> None:
    """YAML 1.1, which other parsers read, takes 1e-4 for text."""
    file.write_text(file.read_text().replace("learning_rate: 0.001", f"learning_rate: {text}"))
    ours = load_params(file).variants["deep"].optimizer.learning_rate
    theirs = parse_yaml(file.read_text(), str(file))["variants"]["deep"]["optimizer"]["learning_rate"]
    assert (ours, theirs) == (0.0001, 0.0001)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        # Unknown and missing keys
        ("extra", 1, UNKNOWN_KEY),
        ("compute.thread", 1, UNKNOWN_KEY),
        ("variants.deep.epoch", 3, UNKNOWN_KEY),
        ("variants.deep.layers.1.droput", 0.5, UNKNOWN_KEY),
        ("variants.deep.blocks", [], UNKNOWN_KEY),
        ("warm_started.longer.momentum", 0.9, UNKNOWN_KEY),
        ("datasets.garments.source.folder", "garments", UNKNOWN_KEY),
        ("compute", ..., REQUIRED),
        ("variants.deep.epochs", ..., REQUIRED),
        ("variants.conv.blocks.0.padding", ..., REQUIRED),
        ("variants.deep.family", ..., REQUIRED),
        ("datasets.mnist.source.kind", ..., REQUIRED),
        ("datasets.mnist.source.sha256", ..., REQUIRED),
        # Wrong types
        ("variants.deep.epochs", "ten", "expected a valid integer, got 'ten'."),
        ("variants.deep.epochs", 2.5, "expected a valid integer, got 2.5."),
        ("variants.deep.epochs", True, "expected a valid integer, got True."),
        ("variants.deep.epochs", None, "expected a valid integer, got None."),
        ("variants.deep.layers.0.units", "64", "expected a valid integer, got '64'."),
        ("variants.deep.optimizer.learning_rate", "fast", "expected a valid number, got 'fast'."),
        ("variants.deep.optimizer.learning_rate", float("inf"), "expected a finite number, got inf."),
        ("variants.deep.optimizer", "adam", "expected a mapping, got 'adam'."),
        ("variants.deep.layers", {"units": 8}, "expected a list, got {'units': 8}."),
        ("variants.deep.layers.0", 8, "expected a mapping, got 8."),
        ("variants.deep", 8, "expected a mapping, got 8."),
        ("variants", [], "expected a mapping, got []."),
        ("warm_started", None, "expected a mapping, got None."),
        ("datasets.mnist.title", 3, "expected a valid string, got 3."),
        ("datasets.mnist.classes.0", 0, "expected a valid string, got 0."),
        ("tasks.digit-classifier.prefer_fewer_parameters", "no", "expected a valid boolean, got 'no'."),
        # Values out of range
        ("variants.deep.epochs", -1, "expected greater than 0, got -1."),
        ("variants.deep.epochs", 0, "expected greater than 0, got 0."),
        ("variants.deep.layers.1.dropout", 1.0, "expected less than 1, got 1.0."),
        ("variants.deep.layers.0.l2", -0.1, "expected greater than or equal to 0, got -0.1."),
        ("variants.conv.schedule.0.from_epoch", 0, "expected greater than 0, got 0."),
        ("compute.threads", 0, "expected greater than 0, got 0."),
        ("studies.digits.tolerance", -0.1, "expected greater than or equal to 0, got -0.1."),
        # Choices
        ("variants.deep.family", "rnn", "expected one of 'mlp', 'cnn', got 'rnn'."),
        ("variants.deep.optimizer.name", "adamw", "expected 'adam', 'rmsprop' or 'sgd', got 'adamw'."),
        ("variants.conv.blocks.0.padding", "full", "expected 'same' or 'valid', got 'full'."),
        ("datasets.mnist.source.kind", "web", "expected one of 'idx_files', 'embedded', got 'web'."),
        ("datasets.garments.source.images", "cats", "expected 'digits' or 'garments', got 'cats'."),
        (
            "tasks.digit-classifier.metric",
            "test_accuracy",
            "expected 'val_accuracy' or 'val_cross_entropy', got 'test_accuracy'.",
        ),
        ("datasets.mnist.classes", ["one", "one"], "expected different names, got ['one', 'one']."),
        ("variants.deep.dataset", "No.Dots", "expected text that matches ^[a-z][a-z0-9_-]*$, got 'No.Dots'."),
    ],
)
def test_a_wrong_value_is_named_by_its_key(error_after: Edit, key: str, value: Any, message: str) -> None:
    assert error_after({key: value}) == f"{key}: {message}"


def test_a_wrong_hash_is_named_by_its_file(error_after: Edit) -> None:
    assert error_after({"datasets.mnist.source.sha256": {"a.gz": "0"}}) == (
        "datasets.mnist.source.sha256.a.gz: expected text that matches ^[0-9a-f]{64}$, got '0'."
    )


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("variants.conv.study", "shoes", f"{STUDIES}, got 'shoes'."),
        ("variants.wide.also_in", ["shoes"], f"{STUDIES}, got 'shoes'."),
        ("warm_started.longer.dataset", "cifar", "expected one of garments, mnist, got 'cifar'."),
        ("tasks.digit-classifier.dataset", "cifar", "expected one of garments, mnist, got 'cifar'."),
        ("studies.fashion.dataset", "cifar", "expected one of garments, mnist, got 'cifar'."),
        ("studies.fashion.shared_from", "shoes", f"{STUDIES}, got 'shoes'."),
        ("studies.fashion.shared_from", "digits", "expected a study about garments, got 'digits'."),
        ("variants.conv.study", "digits", "study digits is about mnist, got a variant on garments."),
        (
            "variants.wide.also_in",
            ["digits"],
            "expected studies other than digits, each once, got ['digits'].",
        ),
        (
            "variants.wide.also_in",
            ["activity", "activity"],
            "expected studies other than digits, each once, got ['activity', 'activity'].",
        ),
        ("warm_started.longer.start_from", "shallow", f"{VARIANTS}, got 'shallow'."),
        ("warm_started.longer.start_from", "longer", f"{VARIANTS}, got 'longer'."),
        (
            "warm_started.longer.start_from",
            "conv",
            "expected a variant of the same study and dataset, got 'conv' of fashion.",
        ),
        (
            "warm_started.longer.start_from",
            ...,
            "required, but missing. Name the variant whose trained weights are the start.",
        ),
        ("variants.wide.start_from", "deep", "only variants under warm_started may have it. Move it there."),
    ],
)
def test_a_wrong_reference_is_named_by_its_key(error_after: Edit, key: str, value: Any, message: str) -> None:
    assert f"{key}: {message}" in error_after({key: value}).splitlines()


def test_a_variant_of_an_unknown_dataset(error_after: Edit) -> None:
    lines = error_after({"variants.wide.dataset": "cifar"}).splitlines()
    assert lines[0] == "variants.wide.dataset: expected one of garments, mnist, got 'cifar'."


def test_a_shared_variant_lies_in_the_folder_that_its_other_study_names(error_after: Edit) -> None:
    assert error_after({"studies.activity.shared_from": "activity"}) == (
        "variants.wide.also_in: expected studies.activity.shared_from to be 'digits', got 'activity'."
    )


def test_a_warm_start_has_the_layers_of_its_parent(error_after: Edit) -> None:
    """It trains the parent's model: other layers would be promised and not trained."""
    assert error_after({"warm_started.longer.layers.1.dropout": 0.2}) == (
        "warm_started.longer.start_from: expected a variant of the same family, blocks and layers, got 'deep'."
    )


def test_a_study_without_variants(error_after: Edit) -> None:
    empty = {**CONTENT["studies"]["fashion"], "shared_from": "empty"}
    assert error_after({"studies.empty": empty}) == (
        "studies.empty: expected at least one variant of this study, got none. Remove it or add one."
    )


def test_a_name_may_be_taken_once(error_after: Edit) -> None:
    assert error_after({"warm_started.deep": CONTENT["warm_started"]["longer"]}) == (
        "warm_started.deep: the name is taken by variants.deep. Rename one of them."
    )


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
    dataset = {**CONTENT["datasets"]["garments"], "example": -1}
    assert error_after({f"datasets.{name}": dataset}) == (
        f"datasets.{name}.example: expected greater than or equal to 0, got -1."
    )


def test_all_problems_are_told_at_once(error_after: Edit) -> None:
    changes = {"variants.deep.epochs": -1, "variants.wide.family": "rnn", "compute.seeds": 3}
    told = {line.split(":")[0] for line in error_after(changes).splitlines()}
    assert told == changes.keys()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("variants: [1, 2", "line 1, column"),
        ("a: 1\n\tb: 2", "line 2, column 1"),
        ("compute: {seed: 1}\ncompute: {seed: 2}", 'duplicate key "compute"'),
        ("compute: !!python/object/apply:os.getcwd []", "python/object/apply:os.getcwd"),
    ],
)
def test_what_is_not_yaml(file: Path, text: str, named: str) -> None:
    file.write_text(text)
    with pytest.raises(PipelineError) as raised:
        load_params(file)
    assert str(raised.value).startswith(f"{file}: expected YAML, but it cannot be parsed: ")
    assert named in str(raised.value)


def test_what_is_not_text(file: Path) -> None:
    file.write_bytes(b"compute: \x80\x81")
    with pytest.raises(PipelineError, match="expected YAML, but it cannot be parsed"):
        load_params(file)


@pytest.mark.parametrize(("text", "kind"), [("", "NoneType"), ("- compute", "list"), ("compute", "str"), ("3", "int")])
def test_the_top_level_is_a_mapping(file: Path, text: str, kind: str) -> None:
    file.write_text(text)
    with pytest.raises(PipelineError) as raised:
        load_params(file)
    assert str(raised.value) == f"{file}: expected a mapping at the top level, got {kind}."


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as raised:
        load_params(tmp_path / "params.yaml")
    assert str(raised.value) == (
        f"{tmp_path / 'params.yaml'}: not found. Run the command in the folder that holds params.yaml."
    )


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as raised:
        load_params(tmp_path)
    assert str(raised.value) == f"{tmp_path}: expected a file that can be read, got: Is a directory."


def test_require_lists_what_is_known() -> None:
    assert require({"deep": 3}, "deep", "variant") == 3
    with pytest.raises(PipelineError) as raised:
        require({"wide": 1, "deep": 3}, "shallow", "variant")
    assert str(raised.value) == "unknown variant 'shallow'; expected one of: deep, wide."
    with pytest.raises(PipelineError, match=r"unknown task 'x'; expected one of: \(none\)\."):
        require({}, "x", "task")


def test_validation_needs_no_file() -> None:
    assert Params.model_validate(CONTENT).studies["activity"].shared_from == "digits"
