"""A process has one Keras backend: each is tried in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PREAMBLE = """
import json, os, sys
from pathlib import Path
from pipeline.runtime import backend
"""
# Settings of a user that would change numbers.
KERAS_JSON = {"floatx": "float16", "epsilon": 0.001, "image_data_format": "channels_first"}
SETTINGS = {"JAX_ENABLE_X64": "1", "JAX_DISABLE_JIT": "1", "TF_DETERMINISTIC_OPS": "1", "KERAS_MAX_EPOCHS": "1"}
ON_JAX = """
from pipeline.runtime.environment import prepare_environment
prepare_environment()
# As in a stage that is forked.
import jax
backend.configure("jax", threads=3)
backend.configure("jax", threads=3)
from pipeline.io import storage
import keras
inputs = keras.Input((4, 4), name="pixels")
outputs = keras.layers.Dense(2, name="probabilities")(keras.layers.Flatten(name="flatten")(inputs))
model = keras.Model(inputs, outputs)
storage.write_model(Path("model.keras"), model)
storage.read_model(Path("model.keras"))
(jax.numpy.ones((500, 500)) @ jax.numpy.ones((500, 500))).block_until_ready()
modules = sorted({name.partition(".")[0] for name in sys.modules})
import sklearn
tasks = Path("/proc/self/task")
names = [(task / "comm").read_text().strip() for task in tasks.iterdir()] if tasks.is_dir() else []
print(json.dumps({
    "backend": keras.backend.backend(),
    "platform": jax.default_backend(),
    "platforms": jax.config.jax_platforms,
    "settings": [keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format(),
                 keras.config.max_epochs(), jax.config.jax_enable_x64, jax.config.jax_disable_jit],
    "modules": modules,
    "later": sklearn.__name__,
    "xla_threads": names.count("tf_XLAEigen"),
}))
"""
ON_TENSORFLOW = """
from pipeline.runtime.environment import prepare_environment
prepare_environment()
backend.configure("tensorflow", threads=2)
print("still heard", file=sys.stderr, flush=True)
os.write(2, b"by its number too\\n")
import keras
modules = sorted({name.partition(".")[0] for name in sys.modules})
import sklearn
import tensorflow as tf
try:
    backend.configure("jax", threads=2)
except RuntimeError as error:
    refusal = str(error)
print(json.dumps({
    "backend": keras.backend.backend(),
    "settings": [keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format(),
                 keras.config.max_epochs(), os.environ.get("TF_DETERMINISTIC_OPS")],
    "modules": modules,
    "later": sklearn.__name__,
    "threads": [
        tf.config.threading.get_intra_op_parallelism_threads(),
        tf.config.threading.get_inter_op_parallelism_threads(),
    ],
    "devices": [device.device_type for device in tf.config.list_logical_devices()],
    "refusal": refusal,
}))
"""


def run(code: str, folder: Path) -> tuple[dict[str, Any], str]:
    """What a process of a user with settings prints as JSON, and what it says on stderr."""
    (folder / "keras.json").write_text(json.dumps(KERAS_JSON))
    finished = subprocess.run(
        [sys.executable, "-c", PREAMBLE + code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "KERAS_HOME": str(folder), **SETTINGS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout), finished.stderr


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    return run(ON_JAX, tmp_path_factory.mktemp("jax"))


@pytest.fixture(scope="module")
def on_tensorflow(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    return run(ON_TENSORFLOW, tmp_path_factory.mktemp("tensorflow"))


def test_importing_the_room_imports_no_backend(tmp_path: Path) -> None:
    modules, _ = run("print(json.dumps({'modules': sorted(sys.modules)}))", tmp_path)
    assert not {"keras", "jax", "tensorflow"} & set(modules["modules"])


def test_jax_runs_on_the_processor_with_the_threads_asked_for(on_jax: tuple[dict[str, Any], str]) -> None:
    said, _ = on_jax
    assert (said["backend"], said["platform"], said["platforms"]) == ("jax", "cpu", "cpu")
    if sys.platform == "linux":
        assert said["xla_threads"] == 3


def test_jax_never_imports_tensorflow_not_even_to_save_a_model(on_jax: tuple[dict[str, Any], str]) -> None:
    said, _ = on_jax
    assert {"jax", "keras"} <= set(said["modules"])
    assert "tensorflow" not in said["modules"]


def test_keras_imports_no_scikit_learn_which_others_can_import_later(
    on_jax: tuple[dict[str, Any], str], on_tensorflow: tuple[dict[str, Any], str]
) -> None:
    for said, _ in (on_jax, on_tensorflow):
        assert "keras" in said["modules"]
        assert "sklearn" not in said["modules"]
        assert said["later"] == "sklearn"


def test_tensorflow_never_imports_jax(on_tensorflow: tuple[dict[str, Any], str]) -> None:
    said, _ = on_tensorflow
    assert {"keras", "tensorflow"} <= set(said["modules"])
    assert "jax" not in said["modules"]


def test_tensorflow_runs_on_the_processor_with_the_threads_asked_for(
    on_tensorflow: tuple[dict[str, Any], str],
) -> None:
    said, _ = on_tensorflow
    assert (said["backend"], said["threads"], said["devices"]) == ("tensorflow", [2, 2], ["CPU"])


def test_the_start_is_silent_and_what_follows_is_heard(
    on_jax: tuple[dict[str, Any], str], on_tensorflow: tuple[dict[str, Any], str]
) -> None:
    assert on_jax[1] == ""
    assert on_tensorflow[1] == "still heard\nby its number too\n"


def test_settings_of_the_user_change_no_number(
    on_jax: tuple[dict[str, Any], str], on_tensorflow: tuple[dict[str, Any], str]
) -> None:
    assert on_jax[0]["settings"] == ["float32", 1e-7, "channels_last", None, False, False]
    assert on_tensorflow[0]["settings"] == ["float32", 1e-7, "channels_last", None, None]


def test_another_backend_comes_too_late(on_tensorflow: tuple[dict[str, Any], str]) -> None:
    said, _ = on_tensorflow
    assert said["refusal"] == "keras already runs on tensorflow: configure('jax') came too late"
