"""A server that runs each stage in a fork of a process in which the slow imports are already done.

docs/fork-server.md explains why there is one, how it works, and what it guarantees.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.runtime import process
from pipeline.runtime.environment import prepare_environment

# Names the server's socket for the stages. A user who sets it to OFF has every stage run without a server.
ADDRESS = "PIPELINE_FORK_SERVER"
OFF = "off"
# Starts the server; the number of the listening socket follows.
COMMAND = (sys.executable, "-m", "pipeline.runtime.fork_server")

# What most stages import. Not this package, because a stage runs the code of its own workspace, nor Keras and
# TensorFlow, whose backend and threads a stage chooses before it imports them.
PACKAGES = (
    "h5py",
    "jax",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "mlflow",
    "mlflow.store.artifact.local_artifact_repo",
    "mlflow.store.tracking.sqlalchemy_store",
    "numpy",
    "pandas",
    "pydantic",
    "seaborn",
    "sklearn.model_selection",
)

STREAMS = (0, 1, 2)
FORWARDED = (signal.SIGTERM, signal.SIGINT)
LENGTH = struct.Struct("!I")
# The server's answer when it has forked for a request; the exit status follows when the fork has ended.
ACCEPTED = b"!"
# What a shell adds to the number of the signal that ended a process.
ENDED_BY_SIGNAL = 128


@contextlib.contextmanager
def started(environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Run a server during the block; gives the environment for the processes that are to use it.

    Requests wait until the server has imported its packages. Without a server every process runs by itself: where the
    user has switched it off, where forking is not known to be safe (anywhere but on Linux), and where no socket can be
    made, as below a folder with a very long name.
    """
    with tempfile.TemporaryDirectory() as folder:
        address = str(Path(folder) / "socket")
        server = _start(environment, address)
        try:
            yield dict(environment) if server is None else {**environment, ADDRESS: address}
        finally:
            if server is not None:
                server.terminate()
                server.wait()


def _start(environment: Mapping[str, str], address: str) -> subprocess.Popen[bytes] | None:
    if sys.platform != "linux" or environment.get(ADDRESS) == OFF:
        return None
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(address)
        except OSError:
            return None
        listener.listen()
        number = listener.fileno()
        return subprocess.Popen([*COMMAND, str(number)], env=dict(environment), pass_fds=[number])


def run_main_module() -> int | None:
    """Have the server run this process's main module; returns the exit status, or None where no server answers."""
    address = os.environ.get(ADDRESS)
    specification = sys.modules["__main__"].__spec__
    if address is None or specification is None:
        return None
    environment = {name: value for name, value in os.environ.items() if name != ADDRESS}
    # The arguments of `_run`.
    request = (specification.name, sys.argv[1:], str(Path.cwd()), environment)
    with socket.socket(socket.AF_UNIX) as server:
        if not _is_accepted(request, address, server):
            return None

        for number in FORWARDED:
            signal.signal(number, lambda received, _: server.send(bytes([received])))
        answer = server.recv(1)
    # No answer: the fork's keeper was killed, and the fork dies with it.
    return answer[0] if answer else ENDED_BY_SIGNAL + signal.SIGKILL


def _is_accepted(request: tuple[Any, ...], address: str, server: socket.socket) -> bool:
    """Send a request; whether a server has forked for it. It may be gone, or die while it imports."""
    text = json.dumps(request).encode()
    try:
        server.connect(address)
        socket.send_fds(server, [LENGTH.pack(len(text))], STREAMS)
        server.sendall(text)
        return server.recv(len(ACCEPTED)) == ACCEPTED
    except OSError:
        return False


def main(listener: socket.socket) -> None:
    """Import the packages, then fork for every request; the fork runs what is requested."""
    process.prepare_process()
    prepare_environment()
    for name in PACKAGES:
        importlib.import_module(name)
    # A garbage collection in a fork would write to, and so copy, every page that it shares with the server.
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _run(*_received(connection))
            return
        connection.close()


def _received(connection: socket.socket) -> list[Any]:
    """Receive a request and fork again: returns in the new process; this one keeps watch over it until it ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    received, streams, _, _ = socket.recv_fds(connection, LENGTH.size, len(STREAMS))
    with connection.makefile("rb") as file:
        text = file.read(LENGTH.unpack(received)[0])
    alive, kept_open = os.pipe()
    child = os.fork()
    if child:
        os.close(kept_open)
        _keep(child, alive, connection)
    connection.close()
    os.close(alive)
    for number, stream in zip(STREAMS, streams, strict=True):
        os.dup2(stream, number)
        os.close(stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return list(json.loads(text))


def _keep(child: int, alive: int, connection: socket.socket) -> None:
    """Pass signals on until the child has ended, which closes `alive`; then report its status. Does not return."""
    # The process that asked may be gone, here and at the end.
    with contextlib.suppress(OSError):
        connection.sendall(ACCEPTED)
    watched: list[int | socket.socket] = [alive, connection]
    while True:
        readable, _, _ = select.select(watched, [], [])
        if alive in readable:
            break
        try:
            number = connection.recv(1)
        except ConnectionResetError:
            number = b""
        os.kill(child, number[0] if number else signal.SIGTERM)
        if not number:
            watched.remove(connection)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall(bytes([status if status >= 0 else ENDED_BY_SIGNAL - status]))
    # Not sys.exit: this process must not run the exit handlers that it inherited from the server.
    os._exit(0)


def _run(module: str, arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Run a module as `python -m` does, with the code of its own folder."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "pipeline"]:
        del sys.modules[name]
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = folder
    sys.argv = [module, *arguments]
    importlib.invalidate_caches()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
