"""Like served_model_trial.py, of a model that reads the parameters of waves. Run by test_served_regressor.py."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import served_model_trial  # type: ignore[import-not-found]

WAVES = np.random.default_rng(0).normal(size=(5, 20)).astype(np.float32)
ONE = WAVES[:1].tolist()


def with_value(value: Any) -> list[Any]:
    waves = WAVES[:1].tolist()
    waves[0][0] = value
    return waves


IN_PROCESS = {
    "float32": WAVES,
    "float64": WAVES.astype(np.float64),
    "list": WAVES.tolist(),
    "far beyond pixels": WAVES * 1000,
    "many": np.repeat(WAVES, 300, axis=0),
    "nan": WAVES * np.nan,
    "beyond float32": np.full((1, 20), 1e39),
    "images": np.zeros((1, 28, 28)),
    "one wave without a batch": WAVES[0],
    "no wave": WAVES[:0],
    "text": [["a"] * 20],
    "ragged": [[0.0] * 20, [0.0] * 19],
}
BY_HTTP = {
    "values": {"inputs": ONE},
    "nan": {"inputs": with_value(math.nan)},
    "infinite": {"inputs": with_value(math.inf)},
    "text": {"inputs": with_value("a")},
    "null": {"inputs": with_value(None)},
    "wrong shape": {"inputs": [[0.0] * 21]},
    "empty": {"inputs": []},
}

if __name__ == "__main__":
    served_model_trial.main(sys.argv[1], IN_PROCESS, BY_HTTP)
