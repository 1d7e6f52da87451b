"""The same training in PyTorch, where it is installed: an ordinary loop, kind to it in that batches are slices.

`DataLoader` collates example by example, which would take longer than the training of a small network.
"""

from __future__ import annotations

import importlib.metadata
import time
from typing import Any

import numpy as np

from pipeline.config.models import CnnVariant, MlpVariant
from pipeline.data.examples import Examples

# Keras's, which PyTorch sets otherwise: of batch normalization and of RMSprop.
BATCH_NORM = {"momentum": 0.01, "eps": 1e-3}
OPTIMIZER_DEFAULTS: dict[str, dict[str, float]] = {
    "adam": {"eps": 1e-7},
    "rmsprop": {"alpha": 0.9, "eps": 1e-7},
    "sgd": {},
}


def is_installed() -> bool:
    """Whether there is a PyTorch."""
    # Not by its name alone, which any folder may have.
    try:
        importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def train(
    variant: MlpVariant | CnnVariant, training: Examples, validation: Examples, *, num_classes: int, seed: int
) -> tuple[list[float], float]:
    """The moments at which training began and each epoch ended, and the last validation accuracy."""
    import torch

    torch.manual_seed(seed)
    moments = [time.perf_counter()]
    is_binary = isinstance(variant, MlpVariant) and variant.objective == "binary_crossentropy"
    model = build(variant, num_classes)
    optimizers: dict[str, Any] = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop, "sgd": torch.optim.SGD}
    spec = variant.optimizer
    optimizer = optimizers[spec.name](model.parameters(), lr=spec.learning_rate, **OPTIMIZER_DEFAULTS[spec.name])
    inputs, labels = _tensors(training)
    held_out, held_out_labels = _tensors(validation)
    one_hot = torch.nn.functional.one_hot
    accuracy = 0.0
    for _ in range(variant.epochs):
        model.train()
        order = torch.randperm(len(labels))
        for start in range(0, len(labels), variant.batch_size):
            batch = order[start : start + variant.batch_size]
            outputs, targets = model(inputs[batch]), labels[batch]
            loss = (
                torch.nn.functional.binary_cross_entropy_with_logits(outputs, one_hot(targets, num_classes).float())
                if is_binary
                else torch.nn.functional.cross_entropy(outputs, targets)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            parts = range(0, len(held_out_labels), 1000)
            predicted = torch.cat([model(held_out[start : start + 1000]).argmax(dim=1) for start in parts])
        accuracy = float((predicted == held_out_labels).float().mean())
        moments.append(time.perf_counter())
    return moments, accuracy


def _tensors(examples: Examples) -> tuple[Any, Any]:
    import torch

    scaled = examples.inputs.astype(np.float32)[:, np.newaxis] / 255
    return torch.from_numpy(scaled), torch.from_numpy(examples.targets.astype(np.int64))


def build(variant: MlpVariant | CnnVariant, num_classes: int) -> Any:
    """The network of a variant, from scaled images (n, 1, 28, 28) to what softmax or sigmoid is applied to."""
    from torch import nn

    layers: list[Any] = []
    channels, side = 1, 28
    if isinstance(variant, CnnVariant):
        for block in variant.blocks:
            layers += [nn.Conv2d(channels, block.filters, 3, padding=block.padding), nn.ReLU()]
            layers += [nn.BatchNorm2d(block.filters, **BATCH_NORM)] if block.batch_norm else []
            layers += [nn.MaxPool2d(2)]
            layers += [nn.Dropout(block.dropout)] if block.dropout else []
            channels, side = block.filters, (side if block.padding == "same" else side - 2) // 2
    layers.append(nn.Flatten())
    width = channels * side * side
    for layer in variant.layers:
        layers += [nn.Linear(width, layer.units), nn.ReLU()]
        layers += [nn.BatchNorm1d(layer.units, **BATCH_NORM)] if layer.batch_norm else []
        layers += [nn.Dropout(layer.dropout)] if layer.dropout else []
        width = layer.units
    model = nn.Sequential(*layers, nn.Linear(width, num_classes))
    initializer = variant.kernel_initializer if isinstance(variant, MlpVariant) else None
    for module in model:
        if isinstance(module, nn.Linear | nn.Conv2d):
            hidden_he = initializer == "he_normal" and module is not model[-1]
            (nn.init.kaiming_normal_ if hidden_he else nn.init.xavier_uniform_)(module.weight)
            nn.init.zeros_(module.bias)
    return model
