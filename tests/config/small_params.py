"""Small valid parameters with every section, for tests to change."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

# Of the fixture `error_after`: from changes to the error that they bring.
Edit = Callable[..., str]

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
            "demonstration": True,
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
    "repeats": {"digits": {"dataset": "mnist"}},
    "repeated": {
        "deep": {
            "repeats": "digits",
            "seeds": 2,
            "study": "digits",
            "dataset": "mnist",
            "family": "mlp",
            "engine": "jax",
        }
    },
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
