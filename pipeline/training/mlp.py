"""Training of dense networks: Keras layers on JAX, a whole epoch in one compiled scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from pipeline.training.data import Examples

# Trainable, non-trainable and optimizer variables.
State = tuple[list[jax.Array], list[jax.Array], list[jax.Array]]
# Sums over examples of loss, cross-entropy and correct answers.
Sums = jax.Array
SUM_NAMES = ("loss", "cross_entropy", "accuracy")


def run(
    model: keras.Model,
    *,
    training: Examples,
    validation: Examples,
    optimizer: keras.Optimizer,
    batch_size: int,
    epochs: int,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Train `model` in place; it ends with the last epoch's weights, and uncompiled."""
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    twin.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
    optimizer.build(twin.trainable_variables)
    train_epoch = jax.jit(_epoch_function(twin, batch_size), donate_argnums=0)
    validate = jax.jit(_validation_function(twin))
    train_data, validation_data = _on_device(training), _on_device(validation)
    random = np.random.default_rng(seed)
    state = _state_of(twin)

    listeners = keras.callbacks.CallbackList(list(callbacks), model=twin, epochs=epochs, verbose=0)
    twin.stop_training = False
    listeners.on_train_begin()
    for epoch in range(epochs):
        listeners.on_epoch_begin(epoch)
        state = _with_learning_rate(state, optimizer)
        order = random.permutation(len(training)).astype(np.int32)
        state, sums = train_epoch(state, order, *train_data)
        logs = _means("", sums, len(training)) | _means("val_", validate(state, *validation_data), len(validation))
        listeners.on_epoch_end(epoch, logs)
        if twin.stop_training:
            break
    listeners.on_train_end()
    _assign(twin.trainable_variables, state[0])
    _assign(twin.non_trainable_variables, state[1])
    model.set_weights(twin.get_weights())


def _epoch_function(model: keras.Model, batch_size: int) -> Callable[..., tuple[State, Sums]]:
    """A function (state, order, images, labels) -> (state, sums) that takes one step for each batch of `order`."""

    def objective(trainable: Any, frozen: Any, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, Any]:
        probabilities, frozen, penalties = model.stateless_call(
            trainable, frozen, images, training=True, return_losses=True
        )
        loss, sums = _losses(probabilities, labels, penalties)
        return loss, (sums, frozen)

    def step(state: State, images: jax.Array, labels: jax.Array) -> tuple[State, Sums]:
        trainable, frozen, slots = state
        gradient = jax.value_and_grad(objective, has_aux=True)
        (_, (sums, frozen)), gradients = gradient(trainable, frozen, images, labels)
        trainable, slots = model.optimizer.stateless_apply(slots, gradients, trainable)
        return (trainable, frozen, slots), sums

    def epoch(state: State, order: jax.Array, images: jax.Array, labels: jax.Array) -> tuple[State, Sums]:
        num_full = len(order) // batch_size
        batches = order[: num_full * batch_size].reshape(num_full, batch_size)
        state, sums = jax.lax.scan(lambda state, batch: step(state, images[batch], labels[batch]), state, batches)
        total = sums.sum(axis=0)
        rest = order[num_full * batch_size :]
        if len(rest):
            state, sums = step(state, images[rest], labels[rest])
            total += sums
        return state, total

    return epoch


def _validation_function(model: keras.Model) -> Callable[..., Sums]:
    """A function (state, images, labels) -> sums, without dropout."""

    def validate(state: State, images: jax.Array, labels: jax.Array) -> Sums:
        trainable, frozen, _ = state
        probabilities, _, penalties = model.stateless_call(
            trainable, frozen, images, training=False, return_losses=True
        )
        return _losses(probabilities, labels, penalties)[1]

    return validate


def _losses(probabilities: jax.Array, labels: jax.Array, penalties: Sequence[jax.Array]) -> tuple[jax.Array, Sums]:
    """The objective of a batch, and its sums over the examples."""
    cross_entropies = keras.ops.sparse_categorical_crossentropy(labels, probabilities)
    cross_entropy = cross_entropies.mean()
    loss = cross_entropy + sum(penalties)
    num_correct = (probabilities.argmax(axis=-1) == labels).sum()
    return loss, jnp.stack([loss * len(labels), cross_entropies.sum(), num_correct.astype(loss.dtype)])


def _means(prefix: str, sums: Sums, num_examples: int) -> dict[str, float]:
    values = np.asarray(sums, dtype=np.float64) / num_examples
    return {f"{prefix}{name}": float(value) for name, value in zip(SUM_NAMES, values, strict=True)}


def _on_device(examples: Examples) -> tuple[jax.Array, jax.Array]:
    return jnp.asarray(examples.images), jnp.asarray(examples.labels.astype(np.int32))


def _state_of(model: keras.Model) -> State:
    groups = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
    # Copies, because the epoch function reuses the memory of what it is given.
    trainable, frozen, slots = ([jnp.array(variable.value) for variable in group] for group in groups)
    return trainable, frozen, slots


def _with_learning_rate(state: State, optimizer: keras.Optimizer) -> State:
    """The state with the learning rate that callbacks may have set."""
    trainable, frozen, slots = state
    position = next(i for i, variable in enumerate(optimizer.variables) if variable is optimizer.learning_rate)
    rate = jnp.array(optimizer.learning_rate.value)
    return trainable, frozen, [*slots[:position], rate, *slots[position + 1 :]]


def _assign(variables: Sequence[Any], values: Sequence[jax.Array]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
