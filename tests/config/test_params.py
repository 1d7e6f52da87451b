"""params.yaml and params: what loads, and the text of every error, key by key as the user finds it in the files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import parse_yaml
from pydantic import ValidationError
from ruamel.yaml import YAML

from pipeline.config.data import PublishedWeights, RandomWeights
from pipeline.config.load import FILE_OF, FILES, load_params
from pipeline.config.models import (
    CnnVariant,
    DenseLayer,
    DerivedVariant,
    MlpVariant,
    MobileNetVariant,
    RegressorVariant,
    SweptVariant,
)
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.errors import PipelineError
from tests import params_files

Edit = Callable[..., str]
REQUIRED = "required, but missing. Add it."
UNKNOWN_KEY = "unknown key. Remove it, or correct its spelling."
STUDIES = "expected one of activity, digits, fashion, transfer"
VARIANTS = "expected one of conv, deep, wide"
CLASSIFIERS = "expected one of augmented, conv, deep, grid, longer, mobile, rate_10, rate_20, wide"
DEEP: dict[str, Any] = {
    "study": "digits",
    "dataset": "mnist",
    "family": "mlp",
    "engine": "jax",
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
    "engine": "tensorflow",
    "blocks": [{"filters": 4, "padding": "same"}],
    "schedule": [{"from_epoch": 2, "learning_rate": 0.0001}],
}
REST = {key: value for key, value in DEEP.items() if key not in ("study", "layers")}
CONTENT: dict[str, Any] = {
    "compute": {"seed": 1, "threads": 2},
    "sources": {
        "digit-files": {
            "kind": "idx_files",
            "folder": "mnist",
            "urls": ["https://x.test/"],
            "sha256": {"a.gz": "0" * 64},
        },
        "drawn": {"kind": "embedded", "images": "fashion", "train_size": 20, "test_size": 10, "seed": 1},
    },
    "weights": {
        "published": {
            "kind": "published",
            "architecture": "mobilenet_v2",
            "mirrored": {"url": "slim.h5", "sha256": "1" * 64},
            "published": [{"url": "https://x.test/keras.h5", "sha256": "2" * 64}],
        },
        "noise": {"kind": "random", "architecture": "mobilenet_v2", "seed": 1},
    },
    "datasets": {
        "mnist": {
            "title": "MNIST",
            "source": "digit-files",
            "keep": [4, 9],
            "classes": ["four", "nine"],
            "split": {"train_size": 30, "validation_size": 10, "seed": 7},
            "example": 0,
        },
        "garments": {
            "title": "Garments",
            "source": "drawn",
            "classes": ["shirt", "dress"],
            "split": {"validation_size": 5, "seed": 7},
            "example": 0,
        },
    },
    "signals": {
        "waves": {
            "title": "Waves",
            "num_points": 50,
            "length_in_pi": 10,
            "train_size": 20,
            "validation_size": 10,
            "test_size": 10,
            "seed": 7,
            "example": [0.1, 0.2, 0.3, 0.4],
            "extended": [[0, 0, 0, 0], [-1, 1, 0, 0]],
        }
    },
    "features": {
        "pooled": {"dataset": "garments", "weights": "noise", "size": 32, "resize": "pad", "pixels": "raw"},
        "digit-pooled": {
            "dataset": "mnist",
            "weights": "noise",
            "size": 96,
            "resize": "bilinear",
            "pixels": "symmetric",
        },
    },
    "studies": {
        "digits": {
            "title": "Digits",
            "dataset": "mnist",
            "tolerance": 0.004,
            "shared_from": "digits",
            "variants": ["deep", "wide", "longer", "grid"],
        },
        # Not in the order in which the file has them.
        "activity": {
            "title": "Activity",
            "dataset": "mnist",
            "shared_from": "digits",
            "variants": ["rate_20", "rate_10", "wide", "augmented"],
        },
        "fashion": {
            "title": "Fashion",
            "dataset": "garments",
            "tolerance": 0.006,
            "shared_from": "fashion",
            "variants": ["conv"],
        },
        "transfer": {
            "title": "Transfer",
            "dataset": "garments",
            "shared_from": "fashion",
            "beside_all": True,
            "variants": ["mobile"],
        },
    },
    "conclusions": {"digits": {"dataset": "mnist"}},
    "contrasts": {"activity": {"dataset": "mnist", "baseline": "wide"}},
    "tasks": {
        "digit-classifier": {
            "dataset": "mnist",
            "candidates": "mnist",
            "metric": "val_accuracy",
            "tolerance": 0.002,
            "prefer_fewer_parameters": True,
        },
        "wave-regressor": {
            "dataset": "waves",
            "candidates": "waves",
            "metric": "val_mean_absolute_error",
            "tolerance": 0.0,
            "prefer_fewer_parameters": True,
        },
    },
    "searches": {
        "grid": {
            "study": "digits",
            "dataset": "mnist",
            "grid": [[8, 4], [2, 3]],
            "block": {"batch_norm": True, "dropout": 0.5},
            "kernel_initializer": "he_normal",
            "optimizer": {"name": "adam", "learning_rate": 0.001},
            "batch_size": 16,
            "epochs": 3,
            "folds": 3,
        }
    },
    "sweeps": {"rates": {"study": "activity", "dataset": "mnist"}},
    "variants": {"deep": DEEP, "wide": DEEP, "conv": CONV},
    "warm_started": {"longer": {**DEEP, "start_from": "deep", "epochs": 1}},
    "swept": {
        "rate_10": {**DEEP, "study": "activity", "layers": [{"units": 4, "dropout": 0.1}], "sweep": "rates"},
        "rate_20": {**DEEP, "study": "activity", "layers": [{"units": 4, "dropout": 0.2}], "sweep": "rates"},
    },
    "derived": {
        # Of the same name as the search: they are in rooms of their own.
        "grid": {**REST, "study": "digits", "layers_from": "grid", "kernel_initializer": "he_normal"},
        "augmented": {
            **REST,
            "study": "activity",
            "layers_from": "rates",
            "output": {"activation": "sigmoid", "l1": 0.1},
            "augmentation": {"shear_degrees": 10, "rotation_degrees": 10, "zoom": 0.2},
            "steps_per_epoch": 5,
        },
    },
    "transfers": {
        "mobile": {
            **DEEP,
            "study": "transfer",
            "dataset": "garments",
            "family": "mobilenet_v2",
            "engine": "jax",
            "features": "pooled",
            "early_stopping": {"monitor": "val_accuracy", "patience": 3},
            "reduce_on_plateau": {"monitor": "val_loss", "factor": 0.1, "patience": 2},
        }
    },
    "regressors": {"sine": {**DEEP, "study": "waves", "dataset": "waves", "family": "regressor", "engine": "jax"}},
}
OPTIONAL = (
    "weights",
    "signals",
    "features",
    "conclusions",
    "contrasts",
    "searches",
    "sweeps",
    "warm_started",
    "swept",
    "derived",
    "transfers",
    "regressors",
)
GROUPS = ("variants", "warm_started", "swept", "derived", "transfers")


def fresh() -> dict[str, Any]:
    """CONTENT with no part in two places, so that a change changes one."""
    return json.loads(json.dumps(CONTENT))


def position(section: Any, key: str) -> Any:
    return int(key) if isinstance(section, list) else key


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with small valid parameters, with every section and both families."""
    params_files.write(tmp_path, fresh())
    return tmp_path


@pytest.fixture
def error_after(root: Path) -> Edit:
    """Set (with ... delete) values at dotted keys, load the files, and return the error without the files' names."""

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
        params_files.write(root, content)
        with pytest.raises(PipelineError) as raised:
            load_params(root)
        told = []
        for line in str(raised.value).splitlines():
            path, _, problem = line.partition(": ")
            section = re.split("[.:]", problem)[0]
            assert path == str(root / FILE_OF.get(section, "params.yaml"))
            told.append(problem)
        return "\n".join(told)

    return edit


def test_the_files_of_the_project_load(repository: Path) -> None:
    full = load_params(repository)
    demo = load_params(repository / "demo")
    assert {"handwritten-digits", "regularization-activity", "fashion"} <= full.studies.keys()
    assert not any(full.is_embedded(data) for data in (*full.datasets, *full.signals))
    assert all(demo.is_embedded(data) for data in (*demo.datasets, *demo.signals))


def test_the_full_study_has_49_models_and_113_configurations(repository: Path) -> None:
    full = load_params(repository)
    assert len(full.all_variants) == 49
    assert len(full.searches) == 7
    assert [len(search.configurations) for search in full.searches.values()] == [9, 9, 9, 18, 18, 18, 32]
    assert all(search.folds == 3 for search in full.searches.values())


def test_every_refit_of_the_full_study_is_of_the_kind_that_was_searched(repository: Path) -> None:
    full = load_params(repository)
    refits = {name: spec for name, spec in full.derived.items() if spec.layers_from in full.searches}
    assert len(refits) == 8
    for name, spec in refits.items():
        search = full.searches[spec.layers_from]
        assert name.startswith(spec.layers_from)
        for field in ("study", "dataset", "kernel_initializer", "optimizer", "batch_size"):
            assert getattr(spec, field) == getattr(search, field), (name, field)


def test_the_demo_has_every_family_a_warm_start_a_shared_variant_and_a_schedule(repository: Path) -> None:
    demo, params = load_params(repository / "demo"), load_params(repository)
    variants, full = demo.all_variants.values(), params.all_variants.values()
    assert {variant.family for variant in variants} == {variant.family for variant in full}
    groups = [demo.searches, demo.sweeps, demo.contrasts, demo.conclusions, demo.features, demo.signals]
    assert all(groups), "the demo shows every kind of stage"
    for feature in ("start_from", "schedule"):
        assert any(getattr(variant, feature) for variant in variants), feature
    assert any(len(demo.studies_of(name)) > 1 for name in demo.all_variants), "the demo shows a shared variant"


def test_sections_become_typed_objects(root: Path) -> None:
    params = load_params(root)
    assert isinstance(params.variants["deep"], MlpVariant)
    assert isinstance(params.variants["conv"], CnnVariant)
    assert params.variants["deep"].layers[1].dropout == 0.5
    assert params.variants["deep"].layers[0].dropout == 0.0
    assert params.datasets["mnist"].classes == ("four", "nine")
    assert params.datasets["mnist"].keep == (4, 9)
    assert params.datasets["garments"].keep == ()
    assert params.datasets["garments"].split.train_size is None
    assert isinstance(params.derived["augmented"], DerivedVariant)
    assert isinstance(params.swept["rate_10"], SweptVariant)
    assert isinstance(params.transfers["mobile"], MobileNetVariant)
    assert isinstance(params.regressors["sine"], RegressorVariant)
    assert isinstance(params.weights["published"], PublishedWeights)
    assert isinstance(params.weights["noise"], RandomWeights)
    assert list(params.signals["waves"].extended) == [(0, 0, 0, 0), (-1, 1, 0, 0)]
    assert (params.studies["digits"].beside_all, params.studies["activity"].tolerance) == (False, None)


def test_values_cannot_change(root: Path) -> None:
    params = load_params(root)
    with pytest.raises(ValidationError, match="frozen"):
        params.compute.seed = 2  # type: ignore[misc]


def test_groups_and_memberships(root: Path) -> None:
    params = load_params(root)
    classifiers = ["deep", "wide", "conv", "longer", "rate_10", "rate_20", "grid", "augmented", "mobile"]
    assert list(params.classifiers) == classifiers
    assert list(params.all_variants) == [*classifiers, "sine"]
    assert list(params.variants_of("digits")) == ["deep", "wide", "longer", "grid"]
    assert list(params.variants_of("activity")) == ["rate_20", "rate_10", "wide", "augmented"]
    assert params.variants_of("activity")["wide"] == params.variants["wide"]
    assert list(params.members_of("rates")) == ["rate_10", "rate_20"]
    assert {name: params.studies_of(name) for name in ("deep", "wide", "mobile", "sine")} == {
        "deep": ("digits",),
        "wide": ("digits", "activity"),
        "mobile": ("transfer",),
        "sine": ("waves",),
    }
    groups = {name: params.variant_group(name) for name in ("deep", "longer", "rate_10", "grid", "mobile", "sine")}
    assert groups == {
        "deep": "variants",
        "longer": "warm_started",
        "rate_10": "swept",
        "grid": "derived",
        "mobile": "transfers",
        "sine": "regressors",
    }
    with pytest.raises(KeyError, match="shallow"):
        params.variant_group("shallow")


def test_the_home_study_of_a_shared_variant_is_told_first(root: Path) -> None:
    content = fresh()
    content["studies"] = {name: content["studies"][name] for name in reversed(content["studies"])}
    assert Params.model_validate(content).studies_of("wide") == ("digits", "activity")


def test_candidates_are_those_of_a_dataset_or_of_one_of_its_studies(root: Path) -> None:
    params = load_params(root)
    of_mnist = ["deep", "wide", "longer", "rate_10", "rate_20", "grid", "augmented"]
    assert list(params.candidates_for("digit-classifier")) == of_mnist
    assert list(params.candidates_for("wave-regressor")) == ["sine"]
    content = fresh()
    content["tasks"]["digit-classifier"]["candidates"] = "mnist/activity"
    narrower = Params.model_validate(content)
    # By the home study: a shared variant's folder lies in it.
    assert list(narrower.candidates_for("digit-classifier")) == ["rate_10", "rate_20", "augmented"]


def test_variants_set_beside_a_study(root: Path) -> None:
    params = load_params(root)
    assert list(params.compared_with("transfer")) == ["conv"]
    assert list(params.compared_with("fashion")) == []
    assert list(params.compared_with("activity")) == []


def test_objectives_follow_the_output(root: Path) -> None:
    params = load_params(root)
    objectives = {name: variant.objective for name, variant in params.all_variants.items()}
    assert objectives.pop("augmented") == "binary_crossentropy"
    assert objectives.pop("sine") == "mean_absolute_error"
    assert set(objectives.values()) == {"categorical_crossentropy"}


def test_demonstration_data_is_told_from_real_data(root: Path) -> None:
    params = load_params(root)
    assert {data: params.is_embedded(data) for data in ("mnist", "garments", "waves")} == {
        "mnist": False,
        "garments": True,
        "waves": False,
    }
    content = fresh()
    content["signals"]["waves"]["demonstration"] = True
    assert Params.model_validate(content).is_embedded("waves")
    assert params.source_of("mnist") == params.sources["digit-files"]
    assert (params.title_of("digits"), params.title_of("waves")) == ("Digits", "Waves")


def test_a_search_describes_its_configurations(root: Path) -> None:
    search = load_params(root).searches["grid"]
    assert search.configurations == ((8, 2), (8, 3), (4, 2), (4, 3))
    assert search.layers((8, 3)) == (
        DenseLayer(units=8, batch_norm=True, dropout=0.5),
        DenseLayer(units=3, batch_norm=True, dropout=0.5),
    )
    variant = search.variant((8, 3))
    assert variant.layers == search.layers((8, 3))
    for field in ("study", "dataset", "kernel_initializer", "optimizer", "batch_size", "epochs"):
        assert getattr(variant, field) == getattr(search, field), field


def test_a_derived_variant_is_itself_but_for_the_layers(root: Path) -> None:
    derived = load_params(root).derived["augmented"]
    layers = (DenseLayer(units=3, dropout=0.2),)
    resolved = derived.resolved(layers)
    assert isinstance(resolved, MlpVariant)
    assert resolved.layers == layers
    assert resolved.model_dump(exclude={"layers"}) == derived.model_dump(exclude={"layers_from"})
    assert resolved.objective == derived.objective == "binary_crossentropy"


@pytest.mark.parametrize("section", OPTIONAL)
def test_a_section_may_be_absent_with_what_hangs_on_it(root: Path, section: str) -> None:
    hanging = {
        "weights": ("features", "transfers"),
        "features": ("transfers",),
        "signals": ("regressors",),
        "regressors": ("signals",),
        "searches": ("derived",),
        "sweeps": ("swept", "derived"),
        "swept": ("sweeps", "derived"),
    }
    content = fresh()
    for absent in (section, *hanging.get(section, ())):
        del content[absent]
    if "signals" not in content:
        del content["tasks"]["wave-regressor"]
    if "transfers" not in content:
        del content["studies"]["transfer"]
    if "swept" not in content:
        # The study would be left without a variant of its own.
        for gone in ("studies", "contrasts"):
            del content[gone]["activity"]
    kept = {name for group in GROUPS for name in content.get(group, ())}
    for study in content["studies"].values():
        study["variants"] = [name for name in study["variants"] if name in kept]
    params_files.write(root, content)
    assert getattr(load_params(root), section) == {}


@pytest.mark.parametrize("text", ["1e-4", "1.0e-4", "0.0001", "1E-4"])
def test_numbers_are_read_as_dvc_reads_them(root: Path, text: str) -> None:
    """YAML 1.1, which other parsers read, takes 1e-4 for text."""
    file = root / "params.yaml"
    file.write_text(file.read_text().replace("learning_rate: 0.001", f"learning_rate: {text}"))
    ours = load_params(root).variants["deep"].optimizer.learning_rate
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
        ("sources.drawn.folder", "garments", UNKNOWN_KEY),
        ("compute", ..., REQUIRED),
        ("variants.deep.epochs", ..., REQUIRED),
        ("variants.conv.blocks.0.padding", ..., REQUIRED),
        ("variants.deep.family", ..., REQUIRED),
        ("sources.digit-files.kind", ..., REQUIRED),
        ("sources.digit-files.sha256", ..., REQUIRED),
        ("weights.published.seed", 1, UNKNOWN_KEY),
        ("weights.noise.kind", ..., REQUIRED),
        ("weights.published.mirrored.sha256", ..., REQUIRED),
        ("datasets.mnist.split.test_size", 3, UNKNOWN_KEY),
        ("datasets.mnist.source", ..., REQUIRED),
        ("signals.waves.length_in_pi", ..., REQUIRED),
        ("features.pooled.resize", ..., REQUIRED),
        ("searches.grid.block.l1", 0.1, UNKNOWN_KEY),
        ("searches.grid.folds", ..., REQUIRED),
        ("sweeps.rates.members", [], UNKNOWN_KEY),
        ("contrasts.activity.baseline", ..., REQUIRED),
        ("studies.activity.variants", ..., REQUIRED),
        ("variants.wide.also_in", ["activity"], UNKNOWN_KEY),
        ("tasks.digit-classifier.candidates", ..., REQUIRED),
        ("swept.rate_10.sweep", ..., REQUIRED),
        ("derived.grid.layers", [], UNKNOWN_KEY),
        ("derived.grid.layers_from", ..., REQUIRED),
        ("transfers.mobile.features", ..., REQUIRED),
        ("regressors.sine.output", {"activation": "softmax"}, UNKNOWN_KEY),
        ("derived.augmented.output.units", 3, UNKNOWN_KEY),
        ("derived.augmented.augmentation.flip", True, UNKNOWN_KEY),
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
        ("studies.activity.variants", "wide", "expected a list, got 'wide'."),
        ("studies.activity.variants.1", 3, "expected a valid string, got 3."),
        ("warm_started", None, "expected a mapping, got None."),
        ("datasets.mnist.title", 3, "expected a valid string, got 3."),
        ("datasets.mnist.classes.0", 0, "expected a valid string, got 0."),
        ("tasks.digit-classifier.prefer_fewer_parameters", "no", "expected a valid boolean, got 'no'."),
        ("datasets.mnist.source", {"kind": "idx_files"}, "expected a valid string, got {'kind': 'idx_files'}."),
        ("datasets.mnist.keep", 4, "expected a list, got 4."),
        ("signals.waves.example.1", "b", "expected a valid number, got 'b'."),
        ("searches.grid.grid.0", 8, "expected a list, got 8."),
        ("searches.grid.grid.0.1", "8", "expected a valid integer, got '8'."),
        # Values out of range
        ("datasets.mnist.split.train_size", 0, "expected greater than 0, got 0."),
        ("datasets.mnist.keep.0", -1, "expected greater than or equal to 0, got -1."),
        ("searches.grid.folds", 1, "expected greater than or equal to 2, got 1."),
        ("searches.grid.block.dropout", 1.0, "expected less than 1, got 1.0."),
        ("derived.augmented.steps_per_epoch", 0, "expected greater than 0, got 0."),
        ("derived.augmented.augmentation.zoom", 1.0, "expected less than 1, got 1.0."),
        ("derived.augmented.output.l1", -0.1, "expected greater than or equal to 0, got -0.1."),
        ("transfers.mobile.early_stopping.patience", 0, "expected greater than 0, got 0."),
        ("transfers.mobile.reduce_on_plateau.factor", 1.0, "expected less than 1, got 1.0."),
        ("transfers.mobile.reduce_on_plateau.factor", 0.0, "expected greater than 0, got 0.0."),
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
        ("sources.digit-files.kind", "web", "expected one of 'idx_files', 'embedded', got 'web'."),
        ("sources.drawn.images", "cats", "expected 'digits' or 'fashion', got 'cats'."),
        (
            "tasks.digit-classifier.metric",
            "test_accuracy",
            "expected 'val_accuracy', 'val_cross_entropy' or 'val_mean_absolute_error', got 'test_accuracy'.",
        ),
        ("weights.noise.kind", "trained", "expected one of 'published', 'random', got 'trained'."),
        ("weights.noise.architecture", "vgg16", "expected 'mobilenet_v2', got 'vgg16'."),
        ("features.pooled.resize", "crop", "expected 'pad' or 'bilinear', got 'crop'."),
        ("features.pooled.pixels", "scaled", "expected 'raw' or 'symmetric', got 'scaled'."),
        ("derived.augmented.output.activation", "relu", "expected 'softmax' or 'sigmoid', got 'relu'."),
        ("derived.grid.family", "cnn", "expected 'mlp', got 'cnn'."),
        ("transfers.mobile.family", "mlp", "expected 'mobilenet_v2', got 'mlp'."),
        ("regressors.sine.family", "mlp", "expected 'regressor', got 'mlp'."),
        ("derived.grid.kernel_initializer", "ones", "expected 'he_normal', got 'ones'."),
        (
            "transfers.mobile.early_stopping.monitor",
            "test_accuracy",
            "expected 'val_accuracy' or 'val_loss', got 'test_accuracy'.",
        ),
        ("datasets.mnist.classes", ["one", "one"], "expected different names, got ['one', 'one']."),
        ("variants.deep.dataset", "No.Dots", "expected text that matches ^[a-z][a-z0-9_-]*$, got 'No.Dots'."),
    ],
)
def test_a_wrong_value_is_named_by_its_key(error_after: Edit, key: str, value: Any, message: str) -> None:
    assert error_after({key: value}) == f"{key}: {message}"


def test_a_wrong_hash_is_named_by_its_file(error_after: Edit) -> None:
    assert error_after({"sources.digit-files.sha256": {"a.gz": "0"}}) == (
        "sources.digit-files.sha256.a.gz: expected text that matches ^[0-9a-f]{64}$, got '0'."
    )


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("variants.conv.study", "shoes", f"{STUDIES}, got 'shoes'."),
        ("studies.fashion.variants", ["conv", "shallow"], f"{CLASSIFIERS}, got 'shallow'."),
        ("studies.fashion.variants", ["conv", "sine"], f"{CLASSIFIERS}, got 'sine'."),
        (
            "studies.activity.variants",
            ["wide", "rate_10", "rate_20", "augmented", "wide"],
            "expected different names, got ['wide', 'rate_10', 'rate_20', 'augmented', 'wide'].",
        ),
        (
            "studies.digits.variants",
            ["deep", "wide", "longer", "grid", "augmented"],
            "expected variants of digits, got 'augmented' of activity. Take it out, or set shared_from to activity.",
        ),
        (
            "studies.activity.variants",
            ["rate_10", "rate_20", "augmented", "conv"],
            "study activity is about mnist, got 'conv' on garments. Take it out.",
        ),
        ("warm_started.longer.dataset", "cifar", "expected one of garments, mnist, got 'cifar'."),
        ("tasks.digit-classifier.dataset", "cifar", "expected one of garments, mnist, waves, got 'cifar'."),
        ("datasets.mnist.source", "cifar", "expected one of digit-files, drawn, got 'cifar'."),
        ("features.pooled.dataset", "cifar", "expected one of garments, mnist, got 'cifar'."),
        ("features.pooled.weights", "vgg16", "expected one of noise, published, got 'vgg16'."),
        ("searches.grid.study", "shoes", f"{STUDIES}, got 'shoes'."),
        ("searches.grid.study", "fashion", "study fashion is about garments, got a variant on mnist."),
        ("sweeps.rates.study", "shoes", f"{STUDIES}, got 'shoes'."),
        ("swept.rate_10.sweep", "rate", "expected one of rates, got 'rate'."),
        ("derived.grid.layers_from", "rate_10", "expected one of grid, rates, got 'rate_10'."),
        ("transfers.mobile.features", "pool", "expected one of digit-pooled, pooled, got 'pool'."),
        ("transfers.mobile.features", "digit-pooled", "expected features of garments, got 'digit-pooled'."),
        ("regressors.sine.dataset", "mnist", "expected one of waves, got 'mnist'."),
        ("regressors.sine.study", "digits", "expected 'waves', its signal, got 'digits'."),
        ("contrasts.activity.baseline", "deep", "expected one of augmented, rate_10, rate_20, wide, got 'deep'."),
        ("contrasts.activity.dataset", "garments", "expected 'mnist', as the study has it, got 'garments'."),
        (
            "tasks.digit-classifier.candidates",
            "garments",
            "expected 'mnist', or a study of it as 'mnist/<study>', got 'garments'.",
        ),
        ("tasks.digit-classifier.candidates", "mnist/shoes", "expected a variant in 'mnist/shoes', got none. Add one."),
        (
            "tasks.digit-classifier.metric",
            "val_mean_absolute_error",
            "expected val_accuracy or val_cross_entropy, got 'val_mean_absolute_error'.",
        ),
        ("tasks.wave-regressor.metric", "val_accuracy", "expected val_mean_absolute_error, got 'val_accuracy'."),
        ("derived.augmented.steps_per_epoch", ..., "expected together with augmentation, and not without it."),
        ("variants.deep.steps_per_epoch", 5, "expected together with augmentation, and not without it."),
        ("swept.rate_10.start_from", "wide", "only variants under warm_started may have it. Move it there."),
        ("searches.grid.grid", [[8], []], "expected at least one number of units per layer, got ((8,), ())."),
        ("searches.grid.grid", [], "expected at least one number of units per layer, got ()."),
        ("datasets.mnist.keep", [4], "expected one label for each of 2 classes, got [4]."),
        ("datasets.mnist.keep", [4, 4], "expected one label for each of 2 classes, got [4, 4]."),
        ("studies.fashion.dataset", "cifar", "expected one of garments, mnist, got 'cifar'."),
        ("studies.fashion.shared_from", "shoes", f"{STUDIES}, got 'shoes'."),
        ("studies.fashion.shared_from", "digits", "expected a study about garments, got 'digits'."),
        ("variants.conv.study", "digits", "study digits is about mnist, got a variant on garments."),
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
    assert error_after({"variants.wide.dataset": "cifar"}).splitlines() == [
        "variants.wide.dataset: expected one of garments, mnist, got 'cifar'.",
        "variants.wide.study: study digits is about mnist, got a variant on cifar.",
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"shared_from": "activity"}, "expected variants of activity, got 'wide' of digits."),
        ({"shared_from": "second"}, "expected variants of activity or second, got 'wide' of digits."),
    ],
)
def test_a_shared_variant_lies_in_the_folder_that_its_other_study_names(
    error_after: Edit, change: dict[str, Any], told: str
) -> None:
    second = {**CONTENT["studies"]["digits"], "variants": ["other"]}
    changes = {
        "studies.activity": {**CONTENT["studies"]["activity"], **change},
        "studies.second": second,
        "variants.other": {**DEEP, "study": "second"},
    }
    assert error_after(changes) == f"studies.activity.variants: {told} Take it out, or set shared_from to digits."


@pytest.mark.parametrize(
    ("group", "name", "listed"),
    [
        ("variants", "deep", ["wide", "longer", "grid"]),
        ("warm_started", "longer", ["deep", "wide", "grid"]),
        ("derived", "grid", ["deep", "wide", "longer"]),
    ],
)
def test_a_variant_is_in_the_list_of_its_study(error_after: Edit, group: str, name: str, listed: list[str]) -> None:
    assert error_after({"studies.digits.variants": listed}) == (
        f"{group}.{name}: expected in studies.digits.variants, got only {', '.join(listed)}. Add it there."
    )


def test_being_shown_elsewhere_does_not_replace_the_list_of_a_variants_study(error_after: Edit) -> None:
    assert error_after({"studies.digits.variants": ["deep", "longer", "grid"]}) == (
        "variants.wide: expected in studies.digits.variants, got only deep, longer, grid. Add it there."
    )


def test_a_variant_that_left_the_file_has_to_leave_the_lists(error_after: Edit) -> None:
    classifiers = CLASSIFIERS.replace(", wide", "")
    assert error_after({"variants.wide": ..., "contrasts.activity.baseline": "rate_10"}).splitlines() == [
        f"studies.{study}.variants: {classifiers}, got 'wide'." for study in ("digits", "activity")
    ]


def test_an_unknown_study_of_a_listed_variant_is_told_once(error_after: Edit) -> None:
    assert error_after({"variants.wide.study": "shoes"}) == f"variants.wide.study: {STUDIES}, got 'shoes'."


def test_a_study_lists_something(error_after: Edit) -> None:
    assert error_after({"studies.fashion.variants": []}).startswith("studies.fashion.variants: expected ")


def test_a_warm_start_has_the_layers_of_its_parent(error_after: Edit) -> None:
    """It trains the parent's model: other layers would be promised and not trained."""
    assert error_after({"warm_started.longer.layers.1.dropout": 0.2}) == (
        "warm_started.longer.start_from: expected a variant of the same family, blocks and layers, got 'deep'."
    )


def test_a_study_without_variants(error_after: Edit) -> None:
    assert error_after({"studies.empty": CONTENT["studies"]["fashion"]}) == (
        "studies.empty: expected at least one variant with this study as its `study`, got none. Remove it or add one."
    )


def test_a_study_needs_a_variant_of_its_own_beside_shared_ones(error_after: Edit) -> None:
    second = {**CONTENT["studies"]["activity"], "variants": ["deep"]}
    lines = error_after({"studies.second": second}).splitlines()
    assert lines == [
        "studies.second: expected at least one variant with this study as its `study`, got none. Remove it or add one."
    ]


def test_a_warm_start_goes_on_with_the_same_architecture(error_after: Edit) -> None:
    for changes in (
        {"warm_started.longer.layers": [{"units": 8}]},
        {"warm_started.longer.output": {"activation": "sigmoid"}},
        {"warm_started.longer.kernel_initializer": "he_normal"},
    ):
        assert error_after(changes) == (
            "warm_started.longer.start_from: expected a variant of the same family, blocks and layers, got 'deep'."
        )


@pytest.mark.parametrize("group", ["variants", "warm_started"])
@pytest.mark.parametrize(
    ("section", "key", "variant"),
    [
        ("derived", "layers_from", CONTENT["derived"]["grid"]),
        ("swept", "sweep", CONTENT["swept"]["rate_10"]),
        ("transfers", "features", {**DEEP, "features": "pooled"}),
    ],
)
def test_a_variant_in_the_wrong_section(
    error_after: Edit, group: str, section: str, key: str, variant: dict[str, Any]
) -> None:
    assert error_after({f"{group}.new": variant}) == (
        f"{group}.new.{key}: only variants under {section} may have it. Move it there."
    )


@pytest.mark.parametrize(("section", "name"), [("transfers", "mobile"), ("regressors", "sine")])
def test_a_family_in_the_wrong_section(error_after: Edit, section: str, name: str) -> None:
    variant = CONTENT[section][name]
    assert error_after({"variants.new": variant}) == (
        f"variants.new.family: expected one of 'mlp', 'cnn', got {variant['family']!r}. Move the variant to {section}."
    )


def test_a_sweep_without_members(error_after: Edit) -> None:
    assert error_after({"sweeps.others": CONTENT["sweeps"]["rates"]}) == (
        "sweeps.others: expected at least one variant under swept that names it, got none."
    )


def test_a_member_of_a_sweep_is_of_its_study(error_after: Edit) -> None:
    listed = [*CONTENT["studies"]["digits"]["variants"], "rate_10"]
    assert error_after({"swept.rate_10.study": "digits", "studies.digits.variants": listed}) == (
        "swept.rate_10.sweep: expected a sweep of the same study and dataset, got 'rates'."
    )


def test_searches_and_sweeps_have_different_names(error_after: Edit) -> None:
    changes = {
        "sweeps": {"grid": CONTENT["sweeps"]["rates"]},
        "swept.rate_10.sweep": "grid",
        "swept.rate_20.sweep": "grid",
        "derived.augmented.layers_from": "grid",
    }
    assert error_after(changes) == "sweeps.grid: the name is taken by searches.grid. Rename one of them."


@pytest.mark.parametrize("name", ["mnist", "digits"])
def test_a_signal_is_no_dataset_and_no_study(error_after: Edit, name: str) -> None:
    assert f"signals.{name}: the name is taken by a dataset or a study. Rename one of them." in (
        error_after({f"signals.{name}": CONTENT["signals"]["waves"]}).splitlines()
    )


@pytest.mark.parametrize("section", ["contrasts", "conclusions"])
def test_a_report_on_an_unknown_study(error_after: Edit, section: str) -> None:
    content = {"dataset": "mnist"} | ({"baseline": "deep"} if section == "contrasts" else {})
    (line,) = error_after({f"{section}.shoes": content}).splitlines()
    assert line.startswith(f"{section}.shoes")
    assert line.endswith(f"{STUDIES}, got 'shoes'.")


def test_conclusions_are_about_the_dataset_of_their_study(error_after: Edit) -> None:
    assert error_after({"conclusions.digits.dataset": "garments"}).startswith("conclusions.digits")


def test_a_signal_has_extended_rows(error_after: Edit) -> None:
    assert error_after({"signals.waves.extended": []}).startswith("signals.waves.extended: expected ")


@pytest.mark.parametrize("length", [3, 5])
def test_a_wave_has_four_parameters(error_after: Edit, length: int) -> None:
    assert error_after({"signals.waves.extended.1": [0.5] * length}).startswith("signals.waves.extended.1")


@pytest.mark.parametrize("group", ["warm_started", "swept", "derived", "transfers", "regressors"])
def test_a_name_may_be_taken_once(error_after: Edit, group: str) -> None:
    (first,) = list(CONTENT[group])[:1]
    lines = error_after({f"{group}.deep": CONTENT[group][first]}).splitlines()
    assert f"{group}.deep: the name is taken by variants.deep. Rename one of them." in lines


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
        ("compute: !!python/object:os.system {}", "python/object:os.system"),
        ("compute: !!python/name:os.system", "python/name:os.system"),
        ("compute: !!python/module:os", "python/module:os"),
        ("compute: !!python/object/new:os.system [touch pwned]", "python/object/new:os.system"),
        ("compute: !mine {seed: 1}", "!mine"),
    ],
)
def test_what_is_not_yaml(root: Path, text: str, named: str) -> None:
    file = root / "params.yaml"
    file.write_text(text)
    with pytest.raises(PipelineError) as raised:
        load_params(root)
    assert str(raised.value).startswith(f"{file}: expected YAML, but it cannot be parsed: ")
    assert named in str(raised.value)


BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{depth}: &a{depth} [{', '.join([f'*a{depth - 1}'] * 10)}]" for depth in range(1, 10)]
)


@pytest.mark.parametrize(
    "text", [BOMB, "compute: &all {seed: *all}", "compute: &all [*all, *all]"], ids=["wide", "endless", "both"]
)
def test_a_few_lines_that_stand_for_billions_of_values(root: Path, text: str) -> None:
    file = root / "params.yaml"
    file.write_text(text)
    with pytest.raises(PipelineError, match="expected at most 1,000,000 values and characters, got more"):
        load_params(root)


def test_an_alias_is_no_offence(root: Path) -> None:
    shared = {"name": "adam", "learning_rate": 0.001}
    content = fresh()
    for name in ("deep", "wide"):
        content["variants"][name]["optimizer"] = shared
    params_files.write(root, content)
    assert "optimizer: *" in (root / "params.yaml").read_text()
    load_params(root)


def test_what_is_not_text(root: Path) -> None:
    (root / "params.yaml").write_bytes(b"compute: \x80\x81")
    with pytest.raises(PipelineError, match="expected YAML, but it cannot be parsed"):
        load_params(root)


@pytest.mark.parametrize(("text", "kind"), [("", "NoneType"), ("- compute", "list"), ("compute", "str"), ("3", "int")])
def test_the_top_level_is_a_mapping(root: Path, text: str, kind: str) -> None:
    file = root / "params.yaml"
    file.write_text(text)
    with pytest.raises(PipelineError) as raised:
        load_params(root)
    assert str(raised.value) == f"{file}: expected a mapping at the top level, got {kind}."


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as raised:
        load_params(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path / 'params.yaml'}: not found. Run the command in the folder that holds params.yaml."
    )


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.mkdir()
    with pytest.raises(PipelineError) as raised:
        load_params(tmp_path)
    assert str(raised.value) == f"{file}: expected a file that can be read, got: Is a directory."


@pytest.mark.parametrize("name", [file for file in FILES if file != "params.yaml"])
def test_a_missing_file_beside_it(root: Path, name: str) -> None:
    (root / name).unlink()
    with pytest.raises(PipelineError, match=re.escape(f"{root / name}: not found. Restore it.")):
        load_params(root)


def test_every_section_has_a_file() -> None:
    assert sorted(section for sections in FILES.values() for section in sections) == sorted(Params.model_fields)


def test_a_section_in_a_file_where_dvc_does_not_look_for_it(root: Path) -> None:
    file = root / "params.yaml"
    file.write_text(f"{file.read_text()}gates: {{}}\nsearches: {{}}\n")
    with pytest.raises(PipelineError) as raised:
        load_params(root)
    assert str(raised.value).splitlines() == [
        f"{file}: gates: expected in params/studies.yaml. Move it there.",
        f"{file}: searches: expected in params/searches.yaml. Move it there.",
    ]


def test_what_is_no_section_is_told_with_its_file(root: Path) -> None:
    file = root / "params" / "data.yaml"
    file.write_text(f"{file.read_text()}datset: 3\n7: 3\n'a.b': 3\n")
    with pytest.raises(PipelineError) as raised:
        load_params(root)
    assert str(raised.value).splitlines() == [
        f"{file}: datset: unknown key. Remove it, or correct its spelling.",
        f"{file}: 7: expected a key that is text, got 7.",
        # What cannot be told apart from a key below `a` is told with the first file.
        f"{root / 'params.yaml'}: a.b: unknown key. Remove it, or correct its spelling.",
    ]


def test_dvc_looks_for_every_section_where_it_is(repository: Path) -> None:
    content = YAML(typ="safe").load(repository / "dvc.yaml")
    assert content["vars"] == [file for file in FILES if file != "params.yaml"]
    tracked = [item for stage in content["stages"].values() for item in stage.get("do", stage)["params"]]
    pairs = [
        (file, key.partition(".")[0])
        for item in tracked
        for file, keys in (item if isinstance(item, dict) else {"params.yaml": [item]}).items()
        for key in keys
    ]
    assert {section for _, section in pairs} == set(FILE_OF) - {"pictures", "gates"}
    assert [(file, section) for file, section in pairs if FILE_OF[section] != file] == []


def test_another_name_of_a_class_trains_nothing(repository: Path) -> None:
    content = YAML(typ="safe").load(repository / "dvc.yaml")["stages"]
    stages = {name: stage.get("do", stage) for name, stage in content.items()}
    trains = {name for name, stage in stages.items() if "pipeline/training/__init__.py" in stage["deps"]}
    assert {"train", "search", "repeat", "transfer"} <= trains
    tracked = {name for name, stage in stages.items() if "datasets" in str(stage["params"])}
    assert trains & tracked == set()


def test_require_lists_what_is_known() -> None:
    assert require({"deep": 3}, "deep", "variant") == 3
    with pytest.raises(PipelineError) as raised:
        require({"wide": 1, "deep": 3}, "shallow", "variant")
    assert str(raised.value) == "unknown variant 'shallow'; expected one of: deep, wide."
    with pytest.raises(PipelineError, match=r"unknown task 'x'; expected one of: \(none\)\."):
        require({}, "x", "task")


def test_validation_needs_no_file() -> None:
    assert Params.model_validate(CONTENT).studies["activity"].shared_from == "digits"


GATE = {"margin": 0.01, "max_megabytes": 10, "max_milliseconds": 100}
OF_CLASSIFIER = {"min_accuracy": 0.9, "min_recall": 0.8, "max_calibration_error": 0.05}


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ({"no-task": {**GATE, **OF_CLASSIFIER}}, "gates.no-task: expected one of digit-classifier"),
        ({"digit-classifier": GATE}, "gates.digit-classifier.min_recall: required of a classifier, but missing"),
        ({"wave-regressor": GATE}, "gates.wave-regressor.max_mean_absolute_error: required of a regressor"),
        (
            {"wave-regressor": {**GATE, **OF_CLASSIFIER, "max_mean_absolute_error": 0.1}},
            "gates.wave-regressor.min_accuracy: a regressor has no such metric",
        ),
    ],
)
def test_a_gate_has_the_thresholds_of_its_task(root: Path, gates: dict[str, Any], message: str) -> None:
    params_files.write(root, {**fresh(), "gates": gates})
    with pytest.raises(PipelineError, match=re.escape(message)):
        load_params(root)


def test_gates_are_read(root: Path) -> None:
    params_files.write(root, {**fresh(), "gates": {"digit-classifier": {**GATE, **OF_CLASSIFIER}}})
    assert load_params(root).gates["digit-classifier"].min_recall == 0.8
