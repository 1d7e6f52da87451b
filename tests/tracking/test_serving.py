"""`mlflow models serve` as the README calls it: the real server in a process of its own, asked over HTTP."""

from __future__ import annotations

import http.client
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.tracking import publish

# Slow: a server that has to start MLflow and TensorFlow; test_served_model.py asks the model without one.
pytestmark = pytest.mark.slow

START_SECONDS = 240
JSON_TYPE = {"Content-Type": "application/json"}
PIXELS = np.random.default_rng(0).integers(0, 256, (100, 28, 28), dtype=np.uint8)
ONE = PIXELS[:1].tolist()
EXPECTED = "expected images of shape (n, 28, 28) with pixels from 0 to 255"


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    port: int

    def ask(self, body: bytes | None, headers: dict[str, str] | None = None, path: str = "/invocations") -> Any:
        """Status and text of the answer to a POST."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST", path, body, JSON_TYPE if headers is None else headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def predict(self, images: Any) -> Any:
        """Status and predictions, or the message of the error."""
        status, text = self.ask(json.dumps({"inputs": images}).encode())
        answer = json.loads(text)
        return status, np.array(answer["predictions"]) if status == 200 else answer["message"]


def with_pixel(value: Any) -> list[Any]:
    images: list[Any] = PIXELS[:1].tolist()
    images[0][0][0] = value
    return images


def free_port() -> int:
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        return int(candidate.getsockname()[1])


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, make_stages_in: Any) -> Iterator[Server]:
    """The champion of a small workspace, served from its folder with its database."""
    stages = make_stages_in(tmp_path_factory.mktemp("serving"))
    stages.prepare()
    stages.train("small")
    stages.select("small")
    publish.publish(stages.workspace, stages.params, "register", "mnist-classifier")
    port, log = free_port(), stages.workspace.root / "serve.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHONPATH"))}
    # MLflow starts `uvicorn` by its name.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = ["mlflow", "models", "serve", "-m", "models:/mnist-classifier@champion", "--env-manager", "local"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--port", str(port)],
            cwd=stages.workspace.root,
            env={**environment, "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.25)
        yield Server(port)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def expected(server: Server) -> np.ndarray:
    """What the server makes of all pictures, asked one by one."""
    return np.concatenate([server.predict([image])[1] for image in PIXELS.tolist()])


def test_raw_pixels_are_answered_with_probabilities(server: Server) -> None:
    status, probabilities = server.predict(ONE)
    assert (status, probabilities.shape) == (200, (1, 3))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


REFUSED = {
    "flat": ([[0] * 784], "got shape (1, 784)"),
    "one picture without a batch": (ONE[0], "got shape (28, 28)"),
    "with channels": (np.zeros((1, 28, 28, 1), int).tolist(), "got shape (1, 28, 28, 1)"),
    "ragged": ([[[0] * 28] * 27 + [[0] * 27]], "got rows of unequal length"),
    "no picture": ([], "got shape (0,)"),
    "an empty picture": ([[]], "got shape (1, 0)"),
    "nothing": (None, "got values of type object"),
    "a number": (5, "got shape ()"),
    "a text": ("3", "got values of type <U1"),
    "names": ({"image": ONE}, "got values of type object"),
    "NaN": (with_pixel(math.nan), "got NaN or infinite pixels"),
    "infinite": (with_pixel(math.inf), "got NaN or infinite pixels"),
    "too bright": (with_pixel(256), "got pixels from 0 to 256"),
    "negative": (with_pixel(-1), "got pixels from -1 to"),
    "a text for a pixel": (with_pixel("a"), "got values of type <U"),
    "no value for a pixel": (with_pixel(None), "got values of type object"),
    "beyond any number": (with_pixel(10**400), "got values of type object"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_input_is_refused_with_what_was_expected(server: Server, name: str) -> None:
    images, received = REFUSED[name]
    status, message = server.predict(images)
    assert status == 400
    assert message.startswith(EXPECTED)
    assert received in message


def test_a_refusal_does_not_repeat_the_input(server: Server) -> None:
    status, message = server.predict((PIXELS.astype(float) + 1).tolist())
    assert status == 400
    assert message == f"{EXPECTED}, got pixels from 1.0 to 256.0"


MALFORMED = {
    "cut short": b'{"inputs": [',
    "nothing": b"",
    "no UTF-8": b'{"inputs": "\xff"}',
    "a list": json.dumps(ONE).encode(),
    "a number": b"3",
    "null": b"null",
    "no key": b"{}",
    "another key": json.dumps({"pixels": ONE}).encode(),
    "a table": b'{"dataframe_split": {"columns": ["a"], "data": [[1]]}}',
    "thousands of levels": b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of thousands of digits": b'{"inputs": [[[' + b"9" * 5000 + b"]]]}",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_answered_with_400(server: Server, name: str) -> None:
    status, text = server.ask(MALFORMED[name])
    assert status == 400
    assert "inputs" in json.loads(text)["message"] or "JSON" in json.loads(text)["message"]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "image/png"}],
    ids=["none", "a form", "a picture"],
)
def test_other_content_types_are_answered_with_415(server: Server, headers: dict[str, str]) -> None:
    status, text = server.ask(json.dumps({"inputs": ONE}).encode(), headers)
    assert status == 415
    assert "application/json" in text


def test_csv_that_holds_no_pictures_is_answered_with_400(server: Server) -> None:
    assert server.ask(b"a,b\n1,2\n", {"Content-Type": "text/csv"})[0] == 400


def test_another_address_is_answered_with_404(server: Server) -> None:
    assert server.ask(b"{}", path="/predict")[0] == 404


def test_a_hundred_requests_at_once_get_their_own_answers(server: Server, expected: np.ndarray) -> None:
    with ThreadPoolExecutor(100) as clients:
        found = list(clients.map(server.predict, [[image] for image in PIXELS.tolist()]))
    assert {status for status, _ in found} == {200}
    np.testing.assert_allclose(np.concatenate([answer for _, answer in found]), expected, rtol=1e-5)


def test_good_requests_are_answered_among_bad_ones(server: Server, expected: np.ndarray) -> None:
    bodies = [json.dumps({"inputs": [image]}).encode() for image in PIXELS.tolist()]
    bodies[::2] = [b"{"] * 50
    with ThreadPoolExecutor(20) as clients:
        found = list(clients.map(server.ask, bodies))
    assert [status for status, _ in found] == [400, 200] * 50
    probabilities = [json.loads(text)["predictions"][0] for status, text in found if status == 200]
    np.testing.assert_allclose(probabilities, expected[1::2], rtol=1e-5)


def test_ten_thousand_pictures_in_one_request(server: Server, expected: np.ndarray) -> None:
    status, probabilities = server.predict(np.tile(PIXELS, (100, 1, 1)).tolist())
    assert status == 200
    np.testing.assert_allclose(probabilities, np.tile(expected, (100, 1)), rtol=1e-4)
