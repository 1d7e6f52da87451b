"""Transfer from ImageNet: a frozen MobileNetV2 (Sandler et al., 2018, arXiv:1801.04381) and a head trained on it."""

import math
import warnings
from pathlib import Path

import keras
import numpy as np

from pipeline.config.data import Features
from pipeline.config.models import MobileNetVariant
from pipeline.errors import PipelineError
from pipeline.io import initialization
from pipeline.models import blocks

# The names that Keras gives. They are saved with the weights, so that equal weights give equal bytes.
INPUT_NAME, BASE_NAME = "input_layer", "mobilenetv2_1.00_224"


def build(spec: MobileNetVariant, *, input_shape: tuple[int], num_outputs: int) -> keras.Model:
    """Pooled features (n, 1280) through batch normalization and dense layers to probabilities (n, num_outputs)."""
    features = keras.Input(input_shape, name="features")
    hidden = blocks.dense_layers(blocks.normalized(features, wanted=True, name="features"), spec.layers)
    return blocks.classifier(features, hidden, num_classes=num_outputs, name="head")


def build_base(size: int) -> keras.Model:
    """MobileNetV2 of width 1.0 without its top, from RGB (n, size, size, 3) to feature maps (n, height, width, 1280).

    The kernels are zeros: load or draw the weights next. Their shapes do not depend on `size`.
    """
    shape = (size, size, 3)
    with initialization.skipped():
        return keras.applications.MobileNetV2(
            input_shape=shape,
            input_tensor=keras.Input(shape, name=INPUT_NAME),
            alpha=1.0,
            include_top=False,
            weights=None,
            name=BASE_NAME,
        )


def draw_weights(base: keras.Model, *, seed: int) -> None:
    """Set random kernels with the variance that preserves the scale of activations (He et al., 2015).

    Keras's own initial kernels do not: Keras counts all channels as inputs of a depthwise convolution, which has one,
    and after 17 of these layers the features are as small as 1e-13.
    """
    random = np.random.default_rng(seed)
    for layer in base.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2D):
            (shape,) = (kernel.shape for kernel in layer.weights)
            num_inputs = math.prod(shape[:2] if isinstance(layer, keras.layers.DepthwiseConv2D) else shape[:3])
            layer.set_weights([random.normal(0, math.sqrt(2 / num_inputs), shape).astype(np.float32)])


def load_weights(base: keras.Model, path: Path, *, remedy: str = "Delete it, then run `dvc repro` again.") -> None:
    """Load the weights of a base: `.weights.h5` files are as Keras 3 saves them, other `.h5` files as Keras 2 did.

    Raises PipelineError, with the remedy, when the file is missing, damaged or of another network.
    """
    expected = f"{path}: expected weights of MobileNetV2 without its top"
    if not path.is_file():
        raise PipelineError(f"{expected}, but the file is missing. Run `dvc repro` to make it.")
    try:
        with warnings.catch_warnings():
            # For a file of another network, Keras warns a hundred times before it raises.
            warnings.simplefilter("ignore", UserWarning)
            base.load_weights(path)
    except (ValueError, KeyError, TypeError, OSError, RuntimeError, AttributeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(":.")
        raise PipelineError(
            f"{expected}, but the file is damaged or of another network ({reason}). {remedy}"
        ) from error


def build_extractor(features: Features, weights_path: Path, *, image_shape: tuple[int, int]) -> keras.Model:
    """Raw pixels (n, height, width) through the frozen network, averaged over its maps, to features (n, 1280).

    Raises PipelineError when the weights are missing, damaged or of another network.
    """
    base = build_base(features.size)
    load_weights(base, weights_path)
    base.trainable = False
    pixels = keras.Input(image_shape, name="pixels")
    maps = base(network_input(pixels, features))
    return keras.Model(pixels, keras.layers.GlobalAveragePooling2D(name="features")(maps), name="extractor")


def network_input(pixels: keras.KerasTensor, features: Features) -> keras.KerasTensor:
    """Raw pixels (n, height, width) as input of the network: resized, scaled, and grey as RGB, (n, size, size, 3)."""
    grey = keras.layers.Reshape((*pixels.shape[1:], 1), name="channel")(pixels)
    resized = _padded(grey, features.size) if features.resize == "pad" else _interpolated(grey, features.size)
    # Operations, not a Rescaling layer, for the reason given in blocks.scaled_input.
    scaled = resized / 127.5 - 1 if features.pixels == "symmetric" else resized
    return keras.layers.Concatenate(name="rgb")([scaled, scaled, scaled])


def _padded(grey: keras.KerasTensor, size: int) -> keras.KerasTensor:
    """The image in the middle of zeros; where their number is odd, one more below or to the right."""
    margins = [(missing // 2, missing - missing // 2) for missing in (size - length for length in grey.shape[1:3])]
    return keras.layers.ZeroPadding2D(tuple(margins), name="pad")(grey)


def _interpolated(grey: keras.KerasTensor, size: int) -> keras.KerasTensor:
    return keras.ops.image.resize(grey, (size, size), interpolation="bilinear")


def complete(extractor: keras.Model, head: keras.Model) -> keras.Model:
    """The extractor and its trained head as one model, from raw pixels (n, height, width) to probabilities."""
    return keras.Model(extractor.input, head(extractor.output), name="mobilenet_v2")
