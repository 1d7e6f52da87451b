"""The layers of a model as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    import keras


def layer_table(model: keras.Model) -> pd.DataFrame:
    """A row per layer from input to output: its name and kind, its output's shape for one example, its parameters."""
    return pd.DataFrame(
        {
            "layer": layer.name,
            "kind": "model" if layer.__class__.__name__ == "Functional" else layer.__class__.__name__,
            "output_shape": " x ".join(map(str, layer.output.shape[1:])),
            "parameters": layer.count_params(),
        }
        for layer in model.layers
    )
