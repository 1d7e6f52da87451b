"""What is set or gone before MLflow, JAX and TensorFlow are imported."""

from __future__ import annotations

import os

import pytest

from pipeline.runtime.environment import prepare_environment


def test_settings_that_change_outputs_are_gone_and_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    changing = ("JAX_ENABLE_X64", "XLA_FLAGS", "TF_DETERMINISTIC_OPS", "ONEDNN_MAX_CPU_ISA", "KERAS_MAX_EPOCHS")
    for name in (*changing, "KERAS_HOME", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "1")
    prepare_environment()
    assert not set(changing) & set(os.environ)
    assert {"KERAS_HOME", "HTTPS_PROXY"} <= set(os.environ)
