"""What the parameters say of repeats, and the errors about it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.config.params import Params

VARIANT = {
    "family": "mlp",
    "engine": "jax",
    "dataset": "shapes",
    "layers": [{"units": 4}],
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "batch_size": 1,
    "epochs": 1,
}
DATASET = {
    "title": "Shapes",
    "source": "files",
    "classes": ["disc", "star"],
    "split": {"validation_size": 10, "seed": 0},
    "example": 0,
}
STUDY = {"dataset": "shapes", "shared_from": "first"}
REPEATED = {
    "repeats": "second",
    "seeds": 3,
    "study": "first",
    "dataset": "shapes",
    "family": "mlp",
    "engine": "jax",
}
DEEP = {**REPEATED, "study": "second"}
CONTENT: dict[str, Any] = {
    "compute": {"seed": 7, "threads": 1},
    "sources": {"files": {"kind": "idx_files", "folder": "shapes", "urls": [], "sha256": {}}},
    "datasets": {"shapes": DATASET, "others": DATASET},
    "studies": {
        "first": {**STUDY, "title": "First", "variants": ["narrow", "wide", "longer"]},
        "second": {**STUDY, "title": "Second", "variants": ["wide", "deep"]},
    },
    "tasks": {},
    "variants": {
        "narrow": {**VARIANT, "study": "first"},
        "wide": {**VARIANT, "study": "first"},
        "deep": {**VARIANT, "study": "second"},
    },
    "warm_started": {"longer": {**VARIANT, "study": "first", "start_from": "narrow"}},
    "repeats": {"second": {"dataset": "shapes"}},
    "repeated": {"deep": DEEP, "wide": REPEATED},
}


def params_with(**changes: Any) -> Params:
    return Params.model_validate({**copy.deepcopy(CONTENT), **changes})


def test_the_first_seed_is_that_of_the_variants_own_training() -> None:
    params = params_with()
    seeds = params.seeds_of("deep")
    assert seeds[0] == params.seed_of("deep")
    assert len({*seeds, *params.seeds_of("wide")}) == 6


def test_seeds_change_with_the_projects_seed_and_with_the_name() -> None:
    seeds = {params_with(compute={"seed": seed, "threads": 1}).seed_of(name) for seed in (7, 8) for name in "ab"}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert params_with().seed_of("deep") == params_with().seed_of("deep")


def test_shared_variants_are_repeated_like_the_studys_own_in_the_order_of_its_list() -> None:
    assert list(params_with().repeated_in("second")) == ["wide", "deep"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repeated": {"deep": {**DEEP, "seeds": 1}}}, "greater than or equal to 2"),
        (
            {"repeats": {"second": {"dataset": "shapes", "baseline": "narrow"}}},
            "repeats.second.baseline: expected one of deep, wide, got 'narrow'.",
        ),
        (
            {"repeats": {"second": {"dataset": "others"}}},
            "repeats.second: study second is about shapes, got a variant on others.",
        ),
        ({"repeated": {}}, "repeats.second: expected a variant under repeated that names it, got none. Add one."),
        ({"repeats": {}}, r"repeated.wide.repeats: expected one of \(none\), got 'second'."),
        (
            {"repeated": {"longer": REPEATED}},
            "repeated.longer: expected one of deep, narrow, wide, got 'longer'.",
        ),
        ({"repeated": {"narrow": REPEATED}}, "repeated.narrow.repeats: expected one of first, got 'second'."),
        (
            {"repeated": {"deep": {**DEEP, "family": "cnn", "engine": "tensorflow"}}},
            "repeated.deep.family: expected 'mlp', as variants.deep has it, got 'cnn'.",
        ),
        (
            {"repeated": {"deep": {**DEEP, "dataset": "others"}}},
            "repeated.deep.dataset: expected 'shapes', as variants.deep has it, got 'others'.",
        ),
        (
            {"repeated": {"deep": {**DEEP, "features": "pooled"}}},
            "repeated.deep.features: expected None, as variants.deep has it, got 'pooled'.",
        ),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        params_with(**changes)
