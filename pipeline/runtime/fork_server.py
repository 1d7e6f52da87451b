"""A fork server: runs `python -m MODULE` in a fork of a process that has imported what takes seconds to import.

`python -m MODULE` starts as ever, by whom it may be, finds the server's address in its environment, and stands for the
fork from then on: the fork has its arguments, environment, working folder and streams, gets the signals that it gets,
dies when it dies, and its status becomes its own. `multiprocessing` has such a server too, but for children of the
process that started the server, where these are children of DVC.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

ADDRESS = "PIPELINE_FORK_SERVER"

STREAMS = (0, 1, 2)
FORWARDED = (signal.SIGTERM, signal.SIGINT)
LENGTH = struct.Struct("!I")
STATUS = struct.Struct("!B")
# The answer to a request, before the status.
TAKEN = b"!"
# What a shell adds to the number of the signal that ended a process.
ENDED_BY_SIGNAL = 128


@dataclass(frozen=True)
class Request:
    """What to run: the module's full name, its arguments, and where."""

    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]


@contextlib.contextmanager
def started(server: Sequence[str], environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Within, a server runs; gives the environment with its address, for processes that are to use it.

    `server` is the command that ends in `serve`; the number of the listening socket is added to it. Requests wait until
    it has imported what it imports. There is none, and everything runs by itself, where it is not known that forking is
    safe, as it is on Linux, and where a socket cannot be made, as below a folder with a very long name.
    """
    with tempfile.TemporaryDirectory() as folder:
        address = str(Path(folder) / "socket")
        process = _start(server, environment, address)
        try:
            yield dict(environment) if process is None else {**environment, ADDRESS: address}
        finally:
            if process is not None:
                process.terminate()
                process.wait()


def _start(server: Sequence[str], environment: Mapping[str, str], address: str) -> subprocess.Popen[bytes] | None:
    if sys.platform != "linux":
        return None
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(address)
        except OSError:
            return None
        listener.listen()
        number = listener.fileno()
        return subprocess.Popen([*server, str(number)], env=dict(environment), pass_fds=[number])


def run_main_module() -> int | None:
    """Have the server run this process's main module; returns the exit status, or None where no server answers."""
    address = os.environ.get(ADDRESS)
    specification = sys.modules["__main__"].__spec__
    if address is None or specification is None:
        return None
    environment = {name: value for name, value in os.environ.items() if name != ADDRESS}
    request = Request(specification.name, sys.argv[1:], str(Path.cwd()), environment)
    with socket.socket(socket.AF_UNIX) as server:
        if not _is_taken(request, address, server):
            return None

        def forward(number: int, frame: FrameType | None) -> None:
            server.send(bytes([number]))

        for number in FORWARDED:
            signal.signal(number, forward)
        answer = server.recv(STATUS.size)
    # Its keeper was killed: what it kept ends too.
    return int(STATUS.unpack(answer)[0]) if answer else ENDED_BY_SIGNAL + signal.SIGKILL


def _is_taken(request: Request, address: str, server: socket.socket) -> bool:
    """Send a request; whether there is a server and it has forked, for it may die while it imports."""
    text = json.dumps(asdict(request)).encode()
    try:
        server.connect(address)
        socket.send_fds(server, [LENGTH.pack(len(text))], STREAMS)
        server.sendall(text)
        return server.recv(len(TAKEN)) == TAKEN
    except OSError:
        return False


def serve(listener: socket.socket) -> Request:
    """Fork for each request, for ever; returns in the fork, which is to run what it asks for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return _kept(connection)
        connection.close()


def _kept(connection: socket.socket) -> Request:
    """Receive a request and fork once more: returns in the fork, which this process keeps until it ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    received, streams, _, _ = socket.recv_fds(connection, LENGTH.size, len(STREAMS))
    with connection.makefile("rb") as file:
        text = file.read(LENGTH.unpack(received)[0])
    alive, kept_open = os.pipe()
    process = os.fork()
    if process:
        os.close(kept_open)
        _keep(process, alive, connection)
    connection.close()
    os.close(alive)
    for number, stream in zip(STREAMS, streams, strict=True):
        os.dup2(stream, number)
        os.close(stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return Request(**json.loads(text))


def _keep(process: int, alive: int, connection: socket.socket) -> None:
    """Hand on signals until the process has ended, which closes `alive`; then tell its status. Does not return."""
    # Whoever asked may be gone, here and at the end.
    with contextlib.suppress(OSError):
        connection.sendall(TAKEN)
    watched: list[int | socket.socket] = [alive, connection]
    while True:
        readable, _, _ = select.select(watched, [], [])
        if alive in readable:
            break
        try:
            number = connection.recv(1)
        except ConnectionResetError:
            number = b""
        os.kill(process, number[0] if number else signal.SIGTERM)
        if not number:
            watched.remove(connection)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall(STATUS.pack(status if status >= 0 else ENDED_BY_SIGNAL - status))
    # Not sys.exit: what the server would do at its end is not this process's to do.
    os._exit(0)
