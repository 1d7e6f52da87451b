"""What is set or gone before MLflow, JAX and TensorFlow are imported."""

from __future__ import annotations

import getpass
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


def test_a_user_without_a_name_has_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under any user id."""

    def unknown(user: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {user}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    prepare_environment()
    assert getpass.getuser() == str(os.getuid())
