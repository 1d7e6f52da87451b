"""What the arithmetic alone would take: counted operations over the rate at which this machine multiplies matrices."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import training
from pipeline.config.models import CnnVariant, DenseLayer, MlpVariant

PIXELS = 28 * 28
SIZE = 2048
REPETITIONS = 12
KERNEL = 9
STEPS = 200


def products(variant: MlpVariant | CnnVariant, num_outputs: int, *, num_inputs: int = PIXELS) -> list[tuple[int, int]]:
    """Multiplications and additions of one example in each layer from the input on, and how many weights it has."""
    counted = []
    width = num_inputs
    if isinstance(variant, CnnVariant):
        channels, side = 1, 28
        for block in variant.blocks:
            side = side if block.padding == "same" else side - 2
            counted.append((side * side * KERNEL * channels * block.filters, KERNEL * channels * block.filters))
            channels, side = block.filters, side // 2
        width = channels * side * side
    for layer in variant.layers:
        counted.append((width * layer.units, width * layer.units))
        width = layer.units
    return [*counted, (width * num_outputs, width * num_outputs)]


def operations(
    variant: MlpVariant | CnnVariant, num_outputs: int, *, num_train: int, num_validation: int, num_inputs: int = PIXELS
) -> float:
    """Floating-point operations of an epoch, validation included.

    A product forward, one for the gradient of the weights, one for that of the inputs (not for the first layer, whose
    inputs are data); each multiplication and addition counts as two. All else is left out.
    """
    forward = [count for count, _ in products(variant, num_outputs, num_inputs=num_inputs)]
    return 2.0 * (num_train * (3 * sum(forward) - forward[0]) + num_validation * sum(forward))


def rate(threads: int) -> dict[str, Any]:
    """Float32 operations per second in products of large matrices, by NumPy and by JAX: the best of several."""
    from pipeline.runtime import backend

    backend.configure("jax", threads=threads)
    import jax

    random = np.random.default_rng(0)
    first, second = (random.random((SIZE, SIZE), dtype=np.float32) for _ in range(2))
    product = jax.jit(lambda one, other: one @ other)
    on_jax = [jax.device_put(matrix) for matrix in (first, second)]
    ways: dict[str, Callable[[], Any]] = {
        "numpy": lambda: first @ second,
        "jax": lambda: product(*on_jax).block_until_ready(),
    }
    return {name: 2 * SIZE**3 / _best(way) for name, way in ways.items()}


def parts(variant: dict[str, Any], num_outputs: int, threads: int) -> dict[str, Any]:
    """Seconds per step of a dense network: its matrix products alone at the size of a batch, its optimizer alone."""
    from pipeline.runtime import backend

    backend.configure("jax", threads=threads)
    import jax
    import jax.numpy as jnp

    from pipeline.training import callbacks

    spec = training.variant_of(variant)
    widths = [PIXELS, *(layer.units for layer in spec.layers), num_outputs]
    random = np.random.default_rng(0)
    kernels = [jnp.asarray(random.normal(size=shape), "float32") / 100 for shape in _pairs(widths)]
    values = [jnp.asarray(random.normal(size=(spec.batch_size, width)), "float32") for width in widths]

    def step(carry: Any, _: Any) -> tuple[Any, None]:
        # Every product goes into what the next step begins with, so that none is left out.
        inputs, total = carry
        for number, kernel in enumerate(kernels):
            # The scale is of a value that no compiler knows.
            forward = (values[number] + total) @ kernel
            gradient = values[number].T @ (values[number + 1] + total)
            total = total + 1e-20 * (forward.sum() + gradient.sum())
            if number:
                total = total + 1e-20 * ((values[number + 1] + total) @ kernel.T).sum()
        return (inputs, total), None

    optimizer = callbacks.optimizer(spec.optimizer)
    variables = [jnp.zeros(shape) for width in _pairs(widths) for shape in (width, width[1:])]
    import keras

    optimizer.build([keras.Variable(variable) for variable in variables])
    slots = [variable.value for variable in optimizer.variables]

    def update(carry: Any, _: Any) -> tuple[Any, None]:
        trainable, state = carry
        gradients = [variable + 1e-3 for variable in trainable]
        return optimizer.stateless_apply(state, gradients, trainable), None

    def scanned(function: Any, carry: Any) -> float:
        many = jax.jit(lambda start: jax.lax.scan(function, start, None, length=STEPS)[0])
        finished: Callable[[Any], Any] = jax.block_until_ready
        finished(many(carry))
        return _best(lambda: finished(many(carry)), repetitions=3) / STEPS

    return {
        "products": scanned(step, (values[0], jnp.float32(0))),
        "optimizer": scanned(update, (variables, slots)),
    }


def _pairs(widths: Sequence[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise(widths))


def _best(call: Callable[[], Any], repetitions: int = REPETITIONS) -> float:
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def with_layers(variant: MlpVariant, units: Sequence[int]) -> MlpVariant:
    """The variant with other hidden layers, without dropout."""
    return variant.model_copy(update={"layers": tuple(DenseLayer(units=number) for number in units)})
