"""Parameters of two studies: `narrow` and `wide` in the first, `wide` (shared) and `deep` in the second."""

from __future__ import annotations

from typing import Any

MLP = {
    "family": "mlp",
    "engine": "jax",
    "dataset": "shapes",
    "optimizer": {"name": "adam", "learning_rate": 0.001},
    "batch_size": 8,
    "epochs": 3,
    "layers": [{"units": 4}],
}
CONTENT: dict[str, Any] = {
    "compute": {"seed": 1, "threads": 1},
    "sources": {"shape-files": {"kind": "idx_files", "folder": "shapes", "urls": [], "sha256": {}}},
    "datasets": {
        "shapes": {
            "title": "Shapes",
            "source": "shape-files",
            "classes": ["disc", "square", "star"],
            "split": {"validation_size": 10, "seed": 0},
            "example": 0,
        }
    },
    "studies": {
        "first": {
            "title": "First study",
            "dataset": "shapes",
            "shared_from": "first",
            "tolerance": 0.004,
            "variants": ["narrow", "wide"],
        },
        "second": {
            "title": "Second study",
            "dataset": "shapes",
            "shared_from": "first",
            "tolerance": 0.004,
            "variants": ["wide", "deep"],
        },
    },
    "tasks": {
        "shape-classifier": {
            "dataset": "shapes",
            "candidates": "shapes",
            "metric": "val_accuracy",
            "tolerance": 0.002,
            "prefer_fewer_parameters": True,
        }
    },
    "variants": {
        "narrow": {**MLP, "study": "first"},
        "wide": {**MLP, "study": "first"},
        "deep": {**MLP, "study": "second"},
    },
}
