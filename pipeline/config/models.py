"""Sections about networks and how they are trained: layers, optimizers, variants, searches and sweeps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from pipeline.config.section import Name, Rate, Section, type_of_sequence


class Compute(Section):
    """What results depend on besides the model: the seed and the number of threads that sums are split over."""

    seed: NonNegativeInt
    threads: PositiveInt


class Optimizer(Section):
    """A Keras optimizer with its defaults, but for the learning rate."""

    name: Literal["adam", "rmsprop", "sgd"]
    learning_rate: PositiveFloat


class DenseLayer(Section):
    """Dense(ReLU), then batch normalization, then dropout, each if asked for.

    `l1` and `l2` penalize the kernel. `activity_l1` penalizes the layer's output, averaged over the batch as Keras 3
    does: a coefficient that an older Keras summed over a batch of n is n times larger here.
    """

    units: PositiveInt
    dropout: Rate = 0.0
    batch_norm: bool = False
    l1: NonNegativeFloat = 0.0
    l2: NonNegativeFloat = 0.0
    activity_l1: NonNegativeFloat = 0.0


class Output(Section):
    """The last layer of a classifier, and the loss that goes with it.

    `softmax` is trained on the categorical cross-entropy; `sigmoid`, one per class, on the binary cross-entropy, mean
    over the classes. `l1` and `l2` penalize the kernel.
    """

    activation: Literal["softmax", "sigmoid"]
    l1: NonNegativeFloat = 0.0
    l2: NonNegativeFloat = 0.0


class Augmentation(Section):
    """Random affine changes of each training image, anew in each epoch; pixels beyond the edge repeat the nearest.

    Angles are drawn from [-shear, shear] and [-rotation, rotation], the zoom of each axis from [1 - zoom, 1 + zoom].
    """

    shear_degrees: NonNegativeFloat
    rotation_degrees: NonNegativeFloat
    zoom: Rate


class EarlyStopping(Section):
    """Stop when a validation figure has not improved for `patience` epochs; the last epoch's weights stay."""

    monitor: Literal["val_accuracy", "val_loss"]
    patience: PositiveInt


class ReduceOnPlateau(Section):
    """Multiply the learning rate by `factor` when a validation figure has not improved for `patience` epochs."""

    monitor: Literal["val_accuracy", "val_loss"]
    factor: Annotated[float, Field(gt=0, lt=1)]
    patience: PositiveInt


# How a network is trained, and so which of pipeline/training/*_engine.py: DVC watches the one that a variant names.
Engine = Literal["jax", "tensorflow"]

Objective = Literal["categorical_crossentropy", "binary_crossentropy", "mean_absolute_error"]


class ConvBlock(Section):
    """Conv 3x3 (ReLU), then batch normalization if asked for, then 2x2 max pooling, then dropout if asked for."""

    filters: PositiveInt
    padding: Literal["same", "valid"]
    dropout: Rate = 0.0
    batch_norm: bool = False


class RateStep(Section):
    """From this epoch on (counted from 1), train with this learning rate."""

    from_epoch: PositiveInt
    learning_rate: PositiveFloat


class VariantBase(Section):
    """What every model variant states, whatever its family.

    `study` is its home, which names the folder of its outputs; other studies may list it too. `engine` is what trains
    it: `jax` compiles whole epochs of dense networks, `tensorflow` has the faster convolutions.
    """

    study: Name
    dataset: Name
    engine: Engine
    optimizer: Optimizer
    schedule: Annotated[tuple[RateStep, ...], type_of_sequence] = ()
    early_stopping: EarlyStopping | None = None
    reduce_on_plateau: ReduceOnPlateau | None = None
    batch_size: PositiveInt
    epochs: PositiveInt
    start_from: Name | None = None

    @property
    def objective(self) -> Objective:
        """The loss without penalties."""
        return "categorical_crossentropy"


class MlpBase(VariantBase):
    """What multilayer perceptrons state besides their hidden layers.

    `output` is softmax without a penalty if it is absent, `kernel_initializer` (of the hidden layers) Keras's default.
    With `augmentation`, an epoch has `steps_per_epoch` full batches, from as many passes as that takes.
    """

    family: Literal["mlp"]
    engine: Literal["jax"]
    kernel_initializer: Literal["he_normal"] | None = None
    output: Output | None = None
    augmentation: Augmentation | None = None
    steps_per_epoch: PositiveInt | None = None

    @property
    def objective(self) -> Objective:
        is_binary = self.output is not None and self.output.activation == "sigmoid"
        return "binary_crossentropy" if is_binary else "categorical_crossentropy"


class MlpVariant(MlpBase):
    """A multilayer perceptron on flattened images."""

    layers: Annotated[tuple[DenseLayer, ...], type_of_sequence]


class DerivedVariant(MlpBase):
    """A multilayer perceptron whose hidden layers are the outcome of a search or a sweep."""

    layers_from: Name

    def resolved(self, layers: Sequence[DenseLayer]) -> MlpVariant:
        """The variant with the layers of the outcome."""
        fields = {name: getattr(self, name) for name in type(self).model_fields if name != "layers_from"}
        return MlpVariant(**fields, layers=tuple(layers))


class CnnVariant(VariantBase):
    """Convolutional blocks, then dense layers."""

    family: Literal["cnn"]
    engine: Literal["tensorflow"]
    blocks: Annotated[tuple[ConvBlock, ...], type_of_sequence]
    layers: Annotated[tuple[DenseLayer, ...], type_of_sequence]


class MobileNetVariant(VariantBase):
    """Batch normalization and dense layers on the pooled features of a frozen MobileNetV2."""

    family: Literal["mobilenet_v2"]
    engine: Literal["jax"]
    features: Name
    layers: Annotated[tuple[DenseLayer, ...], type_of_sequence]


class RegressorVariant(VariantBase):
    """A multilayer perceptron from a signal (n, num_points) to the parameters of its wave (n, 4), linear at the end."""

    family: Literal["regressor"]
    engine: Literal["jax"]
    layers: Annotated[tuple[DenseLayer, ...], type_of_sequence]

    @property
    def objective(self) -> Objective:
        return "mean_absolute_error"


Variant = Annotated[MlpVariant | CnnVariant, Field(discriminator="family")]


Classifier = MlpVariant | CnnVariant | DerivedVariant | MobileNetVariant


VariantGroup = Literal["variants", "warm_started", "swept", "derived", "transfers", "regressors"]


class SearchBlock(Section):
    """What follows each hidden layer of a searched network, as in DenseLayer."""

    batch_norm: bool = False
    dropout: Rate = 0.0


class Search(Section):
    """An exhaustive search over the units of the hidden layers, by stratified k-fold cross-validation.

    `grid` lists the units to try for each hidden layer. The images are those of training and validation together.
    """

    study: Name
    dataset: Name
    grid: Annotated[tuple[Annotated[tuple[PositiveInt, ...], type_of_sequence], ...], type_of_sequence]
    block: SearchBlock
    kernel_initializer: Literal["he_normal"] | None = None
    optimizer: Optimizer
    batch_size: PositiveInt
    epochs: PositiveInt
    folds: Annotated[int, Field(ge=2)]

    @property
    def configurations(self) -> tuple[tuple[int, ...], ...]:
        """The units of every configuration, in the order of the grid."""
        return tuple(itertools.product(*self.grid))

    def layers(self, units: Sequence[int]) -> tuple[DenseLayer, ...]:
        """The hidden layers of a configuration."""
        return tuple(
            DenseLayer(units=number, batch_norm=self.block.batch_norm, dropout=self.block.dropout) for number in units
        )

    def variant(self, units: Sequence[int]) -> MlpVariant:
        """The network of a configuration."""
        return MlpVariant(
            study=self.study,
            dataset=self.dataset,
            family="mlp",
            engine="jax",
            kernel_initializer=self.kernel_initializer,
            layers=self.layers(units),
            optimizer=self.optimizer,
            batch_size=self.batch_size,
            epochs=self.epochs,
        )


class Sweep(Section):
    """A choice among the variants of `swept` that name it: the best validation accuracy, of equals the first."""

    study: Name
    dataset: Name


class SweptVariant(MlpVariant):
    """A member of a sweep, whose best member gives its layers to a derived variant."""

    sweep: Name


def units_text(units: Sequence[int]) -> str:
    """Units of the hidden layers as `512-128`."""
    return "-".join(map(str, units))
