"""Parameters of small studies, as params.yaml and the files in params hold them."""

from __future__ import annotations

from typing import Any

EMBEDDED = {"kind": "embedded", "images": "digits", "train_size": 60, "test_size": 10, "seed": 1}


def raw_params(*, embedded: bool = False, num_epochs: int = 3) -> dict[str, Any]:
    """Two studies that share a variant; the dataset is real, or embedded as in the demo."""
    real = {"kind": "idx_files", "folder": "mnist", "urls": ["https://example.org/mnist"], "sha256": {}}
    optimizer = {"name": "adam", "learning_rate": 0.001}
    variant = {
        "family": "mlp",
        "engine": "jax",
        "study": "digits",
        "dataset": "mnist",
        "layers": [{"units": 64, "dropout": 0.2, "batch_norm": True}, {"units": 16}],
        "optimizer": optimizer,
        "batch_size": 128,
        "epochs": num_epochs,
    }
    study = {
        "title": "Digits",
        "dataset": "mnist",
        "shared_from": "digits",
        "tolerance": 0.004,
        "variants": ["small", "large"],
    }
    return {
        "compute": {"seed": 7, "threads": 1},
        "sources": {"digit-files": EMBEDDED if embedded else real},
        "datasets": {
            "mnist": {
                "title": "MNIST",
                "source": "digit-files",
                "demonstration": embedded,
                "classes": ["zero", "one", "two"],
                "split": {"validation_size": 6, "seed": 1},
                "example": 3,
            }
        },
        "studies": {"digits": study, "activity": {**study, "title": "Activity", "variants": ["large", "other"]}},
        "tasks": {
            "mnist-classifier": {
                "dataset": "mnist",
                "candidates": "mnist",
                "metric": "val_accuracy",
                "tolerance": 0.002,
                "prefer_fewer_parameters": True,
            }
        },
        "variants": {
            "small": variant,
            "large": variant,
            "other": {**variant, "study": "activity"},
        },
    }


def whole_params(*, embedded: bool = False, num_epochs: int = 3, num_searches: int = 1) -> dict[str, Any]:
    """The same with something of every other kind: a signal, frozen features, searches, a sweep and what hangs on it.

    Each search has six configurations.
    """
    raw = raw_params(embedded=embedded, num_epochs=num_epochs)
    raw["studies"]["digits"]["variants"] += ["rate_10", "rate_20", "grid_1", "rate_best", "transfer"]
    variant = raw["variants"]["small"]
    without_layers = {key: value for key, value in variant.items() if key != "layers"}
    search = {
        "study": "digits",
        "dataset": "mnist",
        "grid": [[256, 512], [32, 64, 128]],
        "block": {"batch_norm": True, "dropout": 0.5},
        "kernel_initializer": "he_normal",
        "optimizer": variant["optimizer"],
        "batch_size": 120,
        "epochs": 2,
        "folds": 3,
    }
    published = {"url": "https://example.org/weights.h5", "sha256": "e" * 64}
    weights = {
        "kind": "published",
        "architecture": "mobilenet_v2",
        "mirrored": {**published, "url": "imagenet/weights.h5"},
        "published": [published],
    }
    random = {"kind": "random", "architecture": "mobilenet_v2", "seed": 1}
    signal = {
        "title": "Waves",
        "num_points": 20,
        "length_in_pi": 10,
        "train_size": 40,
        "validation_size": 8,
        "test_size": 8,
        "seed": 1,
        "example": [0, 0.5, 1, 0.5],
        "extended": [[0, 0, 0, 0], [2, 1, 0, 0]],
        "demonstration": embedded,
    }
    task = {
        "dataset": "waves",
        "candidates": "waves",
        "metric": "val_mean_absolute_error",
        "tolerance": 0.0,
        "prefer_fewer_parameters": True,
    }
    return {
        **raw,
        "weights": {"mobilenet": random if embedded else weights},
        "signals": {"waves": signal},
        "features": {
            "mnist-32": {"dataset": "mnist", "weights": "mobilenet", "size": 32, "resize": "pad", "pixels": "raw"}
        },
        "conclusions": {"digits": {"dataset": "mnist"}},
        "contrasts": {"digits": {"dataset": "mnist", "baseline": "small"}},
        "repeats": {"digits": {"dataset": "mnist"}},
        "repeated": {
            "small": {
                "repeats": "digits",
                "seeds": 2,
                "study": "digits",
                "dataset": "mnist",
                "family": "mlp",
                "engine": "jax",
            }
        },
        "tasks": {**raw["tasks"], "wave-regressor": task},
        "searches": {f"grid_{number}": search for number in range(1, num_searches + 1)},
        "sweeps": {"rates": {"study": "digits", "dataset": "mnist"}},
        "swept": {
            "rate_10": {**variant, "sweep": "rates", "layers": [{"units": 64, "dropout": 0.1}]},
            "rate_20": {**variant, "sweep": "rates", "layers": [{"units": 64, "dropout": 0.2}]},
        },
        # The name of the search itself, as in the full study.
        "derived": {
            "grid_1": {**without_layers, "layers_from": "grid_1"},
            "rate_best": {**without_layers, "layers_from": "rates"},
        },
        "transfers": {"transfer": {**variant, "family": "mobilenet_v2", "engine": "jax", "features": "mnist-32"}},
        "regressors": {
            "wave_net": {
                **variant,
                "family": "regressor",
                "engine": "jax",
                "study": "waves",
                "dataset": "waves",
                "layers": [{"units": 8}],
            }
        },
    }
