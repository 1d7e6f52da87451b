"""Parameters that name one another, lists that must agree, and what belongs into which section."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.load import load_params
from pipeline.config.params import Params
from pipeline.errors import PipelineError
from tests import params_files
from tests.config.small_params import CONTENT, DEEP, Edit, fresh

STUDIES = "expected one of activity, digits, fashion, transfer"
VARIANTS = "expected one of conv, deep, wide"
CLASSIFIERS = "expected one of augmented, conv, deep, grid, longer, mobile, rate_10, rate_20, wide"


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


def test_what_starts_from_another_variant_inherits_its_layers() -> None:
    content = copy.deepcopy(CONTENT)
    del content["warm_started"]["longer"]["layers"]
    content["variants"]["deep"]["layers"] = [{"units": 3}]
    params = Params.model_validate(content)
    assert params.warm_started["longer"].layers == params.variants["deep"].layers
    assert params.warm_started["longer"].epochs == 1


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
    assert line.endswith(f"{STUDIES if section == 'contrasts' else 'digits'}, got 'shoes'.")


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
