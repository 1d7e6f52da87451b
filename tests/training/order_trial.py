"""Train a model that records what it sees, by an engine, in a process of its own, and print the records as JSON.

Run as `python order_trial.py BACKEND`. Every example is a row of its own number, so that a recorded batch tells which
examples it has; the masks of dropout are recorded behind it.
"""

import json
import sys
from typing import Any

import numpy as np

from pipeline.data.examples import Examples
from pipeline.runtime import backend as compute

NUM_EXAMPLES, BATCH_SIZE, NUM_EPOCHS, WIDTH = 50, 16, 3, 8
NUM_STEPS = -(-NUM_EXAMPLES // BATCH_SIZE)


def recorder(backend: str, records: list[Any]) -> Any:
    """A layer that appends to `records` what it is given in training."""
    import keras

    class Recorder(keras.layers.Layer):
        def call(self, inputs: Any, training: bool | None = None) -> Any:
            if not training:
                return inputs
            if backend == "jax":
                import jax

                jax.debug.callback(lambda values: records.append(np.asarray(values).tolist()), inputs, ordered=True)
            else:
                import tensorflow as tf

                tf.py_function(lambda values: records.append(values.numpy().tolist()), [inputs], [])
            return inputs

    return Recorder()


def recorded(backend: str, seed: int) -> dict[str, Any]:
    """Of each epoch the numbers of the examples in their order, and the masks of dropout in the order of the steps."""
    import keras

    from pipeline.training import callbacks, objectives
    from pipeline.training.data import Fit

    seen: list[Any] = []
    dropped: list[Any] = []
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((WIDTH,)),
            recorder(backend, seen),
            keras.layers.Dropout(0.5),
            recorder(backend, dropped),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    inputs = np.repeat(np.arange(1, NUM_EXAMPLES + 1, dtype=np.float32)[:, None], WIDTH, axis=1)
    examples = Examples(inputs, np.zeros(NUM_EXAMPLES, np.uint8))
    fit = Fit(
        training=examples,
        validation=examples,
        metrics=objectives.metrics_of("categorical_crossentropy"),
        optimizer=keras.optimizers.SGD(1e-9),
        batch_size=BATCH_SIZE,
        epochs=NUM_EPOCHS,
        seed=seed,
        callbacks=[callbacks.History(lambda *_: None, objectives.metrics_of("categorical_crossentropy").names)],
    )
    run(backend, model, fit)
    return {"orders": by_epoch([[int(row[0]) for row in batch] for batch in seen]), "masks": masks(dropped)}


def run(backend: str, model: Any, fit: Any) -> None:
    if backend == "jax":
        import jax

        from pipeline.training import jax_engine

        jax_engine.run(model, fit)
        jax.effects_barrier()
    else:
        from pipeline.training import tensorflow_engine

        tensorflow_engine.run(model, fit)


def plainly(seed: int) -> list[list[int]]:
    """The same of the batches that plain Keras is given in the benchmarks."""
    import keras

    from benchmarks.data import shuffled

    keras.utils.set_random_seed(seed)
    numbers = np.arange(1, NUM_EXAMPLES + 1)
    batches = shuffled(numbers, numbers, batch_size=BATCH_SIZE, seed=seed)
    return [[int(number) for inputs, _ in batches for number in inputs] for _ in range(NUM_EPOCHS)]


def by_epoch(batches: list[list[int]]) -> list[list[int]]:
    return [
        [number for batch in batches[start : start + NUM_STEPS] for number in batch]
        for start in range(0, len(batches), NUM_STEPS)
    ]


def masks(dropped: list[Any]) -> list[list[list[bool]]]:
    return [(np.array(batch) > 0).tolist() for batch in dropped]


if __name__ == "__main__":
    compute.configure("tensorflow" if sys.argv[1] == "tensorflow" else "jax", threads=1)
    seeds = {"one": 5, "again": 5, "other": 6}
    runs: dict[str, Any] = {name: recorded(sys.argv[1], seed) for name, seed in seeds.items()}
    if sys.argv[1] == "tensorflow":
        runs["plain"] = {name: plainly(seed) for name, seed in seeds.items()}
    json.dump({**runs, "examples": NUM_EXAMPLES, "epochs": NUM_EPOCHS, "steps": NUM_STEPS}, sys.stdout)
