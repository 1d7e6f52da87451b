"""Loads a logged model where the project is not at hand, and prints how it takes good and bad input, here and by HTTP.

Run by test_served_model.py in a process of its own: whoever loads the model first decides on Keras's backend.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import Any

import mlflow.pyfunc
import numpy as np
import uvicorn
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
ONE = PIXELS[:1].tolist()


def with_pixel(value: Any) -> list[Any]:
    images = PIXELS[:1].tolist()
    images[0][0][0] = value
    return images


IN_PROCESS = {
    "uint8": PIXELS,
    "int64": PIXELS.astype(np.int64),
    "float32": PIXELS.astype(np.float32),
    "float64": PIXELS.astype(np.float64),
    "list": PIXELS.tolist(),
    "many": np.repeat(PIXELS, 300, axis=0),
    "nan": PIXELS * np.nan,
    "too bright": PIXELS + 0.5 * 255,
    "divided by 255": PIXELS / 255,
    "almost black": PIXELS // 255,
    "black": np.zeros((5, 28, 28)),
    "negative": -PIXELS.astype(float),
    "flat": PIXELS.reshape(5, 784),
    "one image without a batch": PIXELS[0],
    "no image": PIXELS[:0],
    "text": [[["a"] * 28] * 28],
    "true and false": PIXELS > 0,
    "ragged": [[[0] * 28] * 27 + [[0] * 27]],
}
BY_HTTP = {
    "integers": {"inputs": ONE},
    "fractions": {"inputs": with_pixel(12.75)},
    "whole": {"inputs": with_pixel(12)},
    "nan": {"inputs": with_pixel(math.nan)},
    "300": {"inputs": with_pixel(300)},
    "-1": {"inputs": with_pixel(-1)},
    "divided by 255": {"inputs": (PIXELS[:1] / 255).tolist()},
    "almost black": {"inputs": (PIXELS[:1] // 255).tolist()},
    "text": {"inputs": with_pixel("a")},
    "null": {"inputs": with_pixel(None)},
    "ragged": {"inputs": [[[0] * 28] * 27 + [[0] * 27]]},
    "wrong shape": {"inputs": [[0] * 784]},
    "empty": {"inputs": []},
    "no key": {"pixels": ONE},
}


def answer_in_process(model: Any, images: Any) -> Any:
    try:
        return np.asarray(model.predict(images)).tolist()
    except MlflowException as error:
        return [error.error_code, error.message]


def answer_by_http(url: str, content: Any) -> Any:
    body = json.dumps(content).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return [answer.status, json.load(answer)["predictions"]]
    except urllib.error.HTTPError as error:
        with error:
            return [error.code, error.read().decode()]


def main(model_uri: str, in_process: dict[str, Any], by_http: dict[str, Any]) -> None:
    """Print what a model makes of each input; `by_http` are whole bodies of requests."""
    model = mlflow.pyfunc.load_model(model_uri)
    server = uvicorn.Server(uvicorn.Config(scoring_server.init(model), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    found = {
        "backend": sys.modules["keras"].backend.backend(),
        "knows the project": "pipeline" in sys.modules,
        "in process": {name: answer_in_process(model, inputs) for name, inputs in in_process.items()},
        "by http": {
            name: answer_by_http(f"http://127.0.0.1:{port}/invocations", body) for name, body in by_http.items()
        },
    }
    server.should_exit = True
    thread.join()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], IN_PROCESS, BY_HTTP)
