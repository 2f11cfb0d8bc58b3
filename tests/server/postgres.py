"""A PostgreSQL of the tests' own, in a temporary folder, reached by a socket there."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Cluster:
    """A server that is started and stopped; its data stay until the folder goes.

    Args:
        programs: the folder of ``initdb`` and ``pg_ctl``.
        folder: for its data and its socket.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self.url = f"postgresql://ctcbias@/postgres?host={folder}"
        self._run("initdb", "--username=ctcbias", "--auth=trust", "--encoding=UTF8", "--no-sync")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-k {self._folder} -c listen_addresses="
        self._run("pg_ctl", "start", "--wait", "-l", str(self._folder / "log"), "-o", options)

    def stop(self, how: str = "fast") -> None:
        """Stop it; ``immediate`` as if it crashed."""
        self._run("pg_ctl", "stop", "--wait", "-m", how)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self._folder / "data"), *arguments]
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        with (self._folder / "out").open("ab") as out:
            done = subprocess.run(
                command,
                cwd=self._folder,
                env=environment,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        assert done.returncode == 0, (self._folder / "out").read_text()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster that runs; the test is skipped where PostgreSQL is not installed."""
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: len(str(one)))
    places = [place for place in places if (place / "initdb").exists()]
    if not places or (os.geteuid() == 0 and shutil.which("setpriv") is None):
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    # The path of a socket has 107 letters at most.
    with tempfile.TemporaryDirectory(prefix="ctcbias-postgres-") as name:
        if os.geteuid() == 0:
            shutil.chown(name, "nobody", "nogroup")
        one = Cluster(places[-1], Path(name))
        one.start()
        try:
            yield one
        finally:
            one.stop("immediate")
