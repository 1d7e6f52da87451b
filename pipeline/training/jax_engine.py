"""Training of dense networks: Keras layers on JAX, a whole epoch in one compiled scan."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from pipeline.data.examples import Examples
from pipeline.training.data import Fit

# Trainable, non-trainable and optimizer variables.
State = tuple[list[jax.Array], list[jax.Array], list[jax.Array]]
# Sums over examples, in the order of LossAndMetrics.names.
Sums = jax.Array
# From inputs and a Keras seed to changed inputs.
Augment = Callable[[jax.Array, jax.Array], jax.Array]


def run(model: keras.Model, fit: Fit, *, augment: Augment | None = None, steps_per_epoch: int | None = None) -> None:
    """Train `model` in place; it ends with the last epoch's weights, and uncompiled."""
    Engine(model, fit, augment).run(model, fit, steps_per_epoch)


class Engine:
    """The compiled training step of one architecture, which trains any number of models of it.

    Their fits have the metrics, optimizer and batch size of the one that it is made with.
    """

    def __init__(self, model: keras.Model, fit: Fit, augment: Augment | None = None) -> None:
        self._metrics = fit.metrics
        self._batch_size = fit.batch_size
        self._twin = keras.models.clone_model(model)
        self._twin.compile(optimizer=fit.optimizer)
        fit.optimizer.build(self._twin.trainable_variables)
        self._fresh_slots = [jnp.array(variable.value) for variable in fit.optimizer.variables]
        self._train_epoch = jax.jit(self._epoch_function(augment), donate_argnums=0)
        self._validate = jax.jit(self._validation_sums)

    def run(self, model: keras.Model, fit: Fit, steps_per_epoch: int | None = None) -> None:
        """Train `model` from its weights and a fresh optimizer."""
        twin = self._twin
        twin.set_weights(model.get_weights())
        train_data = _on_device(fit.training)
        validation_data = _on_device(fit.validation) if fit.validation else None
        random = np.random.default_rng(fit.seed)
        state = _state_of(twin, self._fresh_slots)
        listeners = keras.callbacks.CallbackList(list(fit.callbacks), model=twin, epochs=fit.epochs, verbose=0)
        twin.stop_training = False
        listeners.on_train_begin()
        for epoch in range(fit.epochs):
            listeners.on_epoch_begin(epoch)
            state = _with_learning_rate(state, twin.optimizer)
            order = self._order(random, len(fit.training), steps_per_epoch)
            num_steps_done = epoch * (len(order) // self._batch_size)
            state, sums = self._train_epoch(state, order, _seed(fit.seed, num_steps_done), *train_data)
            logs = self._means("", sums, len(order))
            if fit.validation and validation_data:
                logs |= self._means("val_", self._validate(state, *validation_data), len(fit.validation))
            listeners.on_epoch_end(epoch, logs)
            if twin.stop_training:
                break
        listeners.on_train_end()
        trainable, frozen, _ = state
        variables = [*twin.trainable_variables, *twin.non_trainable_variables]
        for variable, value in zip(variables, [*trainable, *frozen], strict=True):
            variable.assign(value)
        model.set_weights(twin.get_weights())

    def score(self, model: keras.Model, examples: Examples) -> dict[str, float]:
        """The metrics of a model on examples, without dropout."""
        self._twin.set_weights(model.get_weights())
        sums = self._validate(_state_of(self._twin, self._fresh_slots), *_on_device(examples))
        return self._means("", sums, len(examples))

    def _order(self, random: np.random.Generator, num_examples: int, steps: int | None) -> np.ndarray:
        """The examples of an epoch in their order: each once, or as many shuffled passes as fill `steps` batches."""
        if steps is None:
            return random.permutation(num_examples).astype(np.int32)
        num_wanted = steps * self._batch_size
        passes = [random.permutation(num_examples) for _ in range(-(-num_wanted // num_examples))]
        return np.concatenate(passes)[:num_wanted].astype(np.int32)

    def _epoch_function(self, augment: Augment | None) -> Callable[..., tuple[State, Sums]]:
        """A function (state, order, seed, inputs, targets) -> (state, sums), one step for each batch of `order`."""

        def objective(trainable: Any, frozen: Any, inputs: jax.Array, targets: jax.Array) -> tuple[jax.Array, Any]:
            outputs, frozen, penalties = self._twin.stateless_call(
                trainable, frozen, inputs, training=True, return_losses=True
            )
            loss, sums = self._losses(outputs, targets, penalties)
            return loss, (sums, frozen)

        def step(state: State, inputs: jax.Array, targets: jax.Array) -> tuple[State, Sums]:
            trainable, frozen, slots = state
            gradient = jax.value_and_grad(objective, has_aux=True)
            (_, (sums, frozen)), gradients = gradient(trainable, frozen, inputs, targets)
            trainable, slots = self._twin.optimizer.stateless_apply(slots, gradients, trainable)
            return (trainable, frozen, slots), sums

        def epoch(
            state: State, order: jax.Array, seed: jax.Array, inputs: jax.Array, targets: jax.Array
        ) -> tuple[State, Sums]:
            num_full = len(order) // self._batch_size
            batches = order[: num_full * self._batch_size].reshape(num_full, self._batch_size)
            seeds = jnp.stack([jnp.full(num_full, seed[0]), seed[1] + jnp.arange(num_full, dtype=seed.dtype)], axis=1)

            def full_step(state: State, item: tuple[jax.Array, jax.Array]) -> tuple[State, Sums]:
                batch, seed = item
                changed = augment(inputs[batch], seed) if augment else inputs[batch]
                return step(state, changed, targets[batch])

            state, sums = jax.lax.scan(full_step, state, (batches, seeds))
            total = sums.sum(axis=0)
            rest = order[num_full * self._batch_size :]
            if len(rest):
                state, sums = step(state, inputs[rest], targets[rest])
                total += sums
            return state, total

        return epoch

    def _validation_sums(self, state: State, inputs: jax.Array, targets: jax.Array) -> Sums:
        """The sums of all metrics over examples, without dropout."""
        trainable, frozen, _ = state
        outputs, _, penalties = self._twin.stateless_call(trainable, frozen, inputs, training=False, return_losses=True)
        return self._losses(outputs, targets, penalties)[1]

    def _losses(self, outputs: jax.Array, targets: jax.Array, penalties: Sequence[jax.Array]) -> tuple[jax.Array, Sums]:
        """The loss of a batch with its penalties, and the sums of all metrics over its examples."""
        losses = self._metrics.loss(outputs, targets)
        loss = losses.mean() + sum(penalties)
        others = [metric(outputs, targets).sum() for metric in self._metrics.others.values()]
        return loss, jnp.stack([loss * len(targets), losses.sum(), *others])

    def _means(self, prefix: str, sums: Sums, num_examples: int) -> dict[str, float]:
        values = np.asarray(sums, dtype=np.float64) / num_examples
        return {f"{prefix}{name}": float(value) for name, value in zip(self._metrics.names, values, strict=True)}


def _on_device(examples: Examples) -> tuple[jax.Array, jax.Array]:
    targets = examples.targets
    is_label = targets.dtype.kind in "ui"
    return jnp.asarray(examples.inputs), jnp.asarray(targets.astype(np.int32) if is_label else targets)


def _seed(seed: int, step: int) -> jax.Array:
    """A Keras seed of its own for every step."""
    return jnp.asarray([seed % 2**32, step % 2**32], dtype=jnp.uint32)


def _state_of(model: keras.Model, slots: Sequence[jax.Array]) -> State:
    # Copies, because the epoch function reuses the memory of what it is given.
    trainable, frozen = (
        [jnp.array(variable.value) for variable in group]
        for group in (model.trainable_variables, model.non_trainable_variables)
    )
    return trainable, frozen, [jnp.array(slot) for slot in slots]


def _with_learning_rate(state: State, optimizer: keras.Optimizer) -> State:
    """The state with the learning rate that callbacks may have set."""
    (trainable, frozen, slots), rate = state, optimizer.learning_rate
    pairs = zip(optimizer.variables, slots, strict=True)
    return trainable, frozen, [jnp.array(rate.value) if variable is rate else slot for variable, slot in pairs]
