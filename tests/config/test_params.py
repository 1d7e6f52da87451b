"""Parameters: what loads, and a wrong value, named by its key as the user finds it in the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.config.data import PublishedWeights, RandomWeights
from pipeline.config.load import load_params
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
from tests.config.small_params import CONTENT, GROUPS, OPTIONAL, Edit, fresh

REQUIRED = "required, but missing. Add it."
UNKNOWN_KEY = "unknown key. Remove it, or correct its spelling."


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
        ("datasets.mnist.demonstration", True, "expected false, because source digit-files is idx_files."),
        ("datasets.garments.demonstration", ..., "expected true, because source drawn is embedded."),
        ("variants.deep.dataset", "No.Dots", "expected text that matches ^[a-z][a-z0-9_-]*$, got 'No.Dots'."),
    ],
)
def test_a_wrong_value_is_named_by_its_key(error_after: Edit, key: str, value: Any, message: str) -> None:
    assert error_after({key: value}) == f"{key}: {message}"


def test_a_wrong_hash_is_named_by_its_file(error_after: Edit) -> None:
    assert error_after({"sources.digit-files.sha256": {"a.gz": "0"}}) == (
        "sources.digit-files.sha256.a.gz: expected text that matches ^[0-9a-f]{64}$, got '0'."
    )


def test_all_problems_are_told_at_once(error_after: Edit) -> None:
    changes = {"variants.deep.epochs": -1, "variants.wide.family": "rnn", "compute.seeds": 3}
    told = {line.split(":")[0] for line in error_after(changes).splitlines()}
    assert told == changes.keys()


def test_require_lists_what_is_known() -> None:
    assert require({"deep": 3}, "deep", "variant") == 3
    with pytest.raises(PipelineError) as raised:
        require({"wide": 1, "deep": 3}, "shallow", "variant")
    assert str(raised.value) == "unknown variant 'shallow'; expected one of: deep, wide."
    with pytest.raises(PipelineError, match=r"unknown task 'x'; expected one of: \(none\)\."):
        require({}, "x", "task")


def test_validation_needs_no_file() -> None:
    assert Params.model_validate(CONTENT).studies["activity"].shared_from == "digits"
