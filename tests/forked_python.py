"""A Python that starts at once: forked from one that has loaded torch and the like already.

Tests run commands some two hundred times, as their users do: each in a process of its own. Most
of such a process is the import of torch, k2 and lhotse. `started` gives a command that
takes what ``python`` takes (``-c CODE``, ``-m MODULE``, ``FILE``) and stands for it. What it runs
is a new process with the streams, the folder and the environment of the command; only libraries
of others are there already, and none of this project.

Signals do not reach that process, and libraries saw the environment of the tests when they were
loaded: what a test says of either needs ``sys.executable``.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import selectors
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

_SERVERS = 2
"""Hashes of strings differ between two, as they do between any two processes."""
_CLIENT = """
import json, os, socket, sys

server = sys.argv[1].split(os.pathsep)[os.urandom(1)[0] % {servers}]
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(server)
    socket.send_fds(connection, [b"-"], [0, 1, 2])
    request = [sys.argv[2:], os.getcwd(), dict(os.environ)]
    connection.sendall(json.dumps(request).encode())
    connection.shutdown(socket.SHUT_WR)
    status = connection.recv(16)
sys.exit(int(status) if status else "the process that runs commands has ended")
"""


class _Request(NamedTuple):
    """What is to be run, and where."""

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    streams: list[int]


@contextmanager
def started() -> Iterator[Path]:
    """The command, as long as the context lasts."""
    if sys.platform != "linux":
        yield Path(sys.executable)
        return
    # The path of a socket has 108 letters at most.
    with tempfile.TemporaryDirectory() as name:
        sockets = [Path(name, str(number)) for number in range(_SERVERS)]
        servers = [_start(path) for path in sockets]
        (client := Path(name, "client.py")).write_text(_CLIENT.format(servers=_SERVERS))
        interpreter = [sys.executable, "-I", "-S", str(client), os.pathsep.join(map(str, sockets))]
        command = Path(name, "python")
        command.write_text(f'#!/bin/sh\nexec {shlex.join(interpreter)} "$@"\n')
        command.chmod(0o755)
        try:
            yield command
        finally:
            for server in servers:
                server.communicate()


def _start(path: Path) -> subprocess.Popen[bytes]:
    """A server that listens at ``path`` until its standard input ends."""
    # As the command line sets it: it is read when torch is loaded.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "LC_ALL": "C.UTF-8"}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)
        return subprocess.Popen(
            [sys.executable, __file__, str(listener.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=environment,
            pass_fds=[listener.fileno()],
        )


def _requests(listener: socket.socket) -> Iterator[_Request]:
    """Of a server, in a process for each; those leave this with what they are to run."""
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while all(key.fileobj is listener for key, _ in selector.select()):
            connection, _ = listener.accept()
            if os.fork() == 0:
                break
            connection.close()
            _forget_ended()
        else:
            return
    listener.close()
    with connection:
        _, streams, _, _ = socket.recv_fds(connection, 1, 3)
        with connection.makefile() as stream:
            request = _Request(*json.load(stream), streams)
        if child := os.fork():
            # Who reads from them waits for their end.
            for one in streams:
                os.close(one)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            connection.sendall(str(code if code >= 0 else 128 - code).encode())
            os._exit(0)
    yield request


def _forget_ended() -> None:
    """Children that have ended are no longer kept."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _become(request: _Request) -> None:
    """Take over the streams, folder, environment and arguments."""
    for number, stream in enumerate(request.streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)


def _run(arguments: list[str], path: list[str]) -> None:
    """As Python does with these arguments; ``path`` is where it looks for modules."""
    kind, *rest = arguments
    if kind == "-c":
        code, *rest = rest
        sys.argv, sys.path = ["-c", *rest], ["", *path]
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), main.__dict__)
    elif kind == "-m":
        module, *rest = rest
        sys.argv, sys.path = [module, *rest], [str(Path.cwd()), *path]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path = arguments, [str(Path(kind).resolve().parent), *path]
        runpy.run_path(kind, run_name="__main__")


def _serve(listener: socket.socket) -> None:
    """Load what takes long, then run what is asked for."""
    import k2  # noqa: F401, PLC0415
    import kaldifst  # noqa: F401, PLC0415
    import lhotse.features.kaldi.layers  # noqa: F401, PLC0415
    import pynini  # noqa: F401, PLC0415
    import sentencepiece  # noqa: F401, PLC0415
    import soundfile  # noqa: F401, PLC0415
    import torch  # noqa: F401, PLC0415

    # What is never collected is never copied: an end costs half as much.
    gc.freeze()
    there = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = [one for one in sys.path[1:] if one not in there]
    for request in _requests(listener):
        _become(request)
        first = request.environment.get("PYTHONPATH", "")
        _run(request.arguments, [*filter(None, first.split(os.pathsep)), *path])


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
