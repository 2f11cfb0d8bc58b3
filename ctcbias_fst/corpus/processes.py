"""Worker processes that decode shards; one that dies costs the work on its shard only."""

from __future__ import annotations

import multiprocessing as mp
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from ctcbias_fst.corpus.shard_decoder import Plan, Result
from ctcbias_fst.corpus.shard_queue import DEATHS, ShardQueue
from ctcbias_fst.corpus.sharded_job import Progress, Workers
from ctcbias_fst.corpus.shards import Shard
from ctcbias_fst.errors import ConfigError

_THREADS = "OMP_NUM_THREADS"

_SPAWN = mp.get_context("spawn")
"""Threads of k2 and torch do not live on in a forked process."""


def in_processes(plan: Plan, devices: Sequence[str], report: Callable[[str], None]) -> Workers:
    """Decode shards in as many processes as there are devices, each with a model of its own.

    Args:
        plan: how each makes its decoder.
        devices: where each computes.
        report: told about names without effect, and processes that died.
    """

    def work(
        shards: Sequence[Shard], worked: bool, progress: Progress
    ) -> Iterator[tuple[Shard, Result]]:
        pool = _Pool(plan, shards, worked, progress, report)
        try:
            yield from pool.results(devices[: len(shards)])
        finally:
            pool.close()

    return work


class _Process:
    """A worker process, and what it is at.

    Attributes:
        shard: None before it is ready, and between shards.
        ready: whether its model is loaded.
    """

    def __init__(self, plan: Plan, device: str) -> None:
        self.device, self.ready = device, False
        self.shard: Shard | None = None
        self.progressed = 0.0
        self.pipe, its = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(its, plan, device), daemon=True)
        with _inherited(plan.threads):
            self._process.start()
        its.close()  # so that the pipe ends where the process does

    @property
    def idle(self) -> bool:
        """Whether it waits for a shard."""
        return self.ready and self.shard is None

    def give(self, shard: Shard, worked: bool) -> None:
        """Let it decode a shard."""
        self.shard, self.progressed = shard, 0.0
        with suppress(OSError):  # it has died, which is told where its pipe is read
            self.pipe.send((shard.utterances, worked))

    def end(self, patience: float = 0.0) -> str:
        """End it, if it does not end itself; returns how it did."""
        self._process.join(patience)
        self._process.kill()
        self._process.join()
        self.pipe.close()
        code = self._process.exitcode or 0
        return f"exit status {code}" if code >= 0 else f"killed by signal {-code}"


class _Pool:
    """Processes, and the shards that wait for them."""

    def __init__(
        self,
        plan: Plan,
        shards: Sequence[Shard],
        worked: bool,
        progress: Progress,
        report: Callable[[str], None],
    ) -> None:
        self._plan, self._progress, self._report = plan, progress, report
        self._queue, self._worked = ShardQueue(shards, report), worked
        self._processes: list[_Process] = []

    def results(self, devices: Sequence[str]) -> Iterator[tuple[Shard, Result]]:
        """Shards as they are done.

        Raises:
            ConfigError: processes die again and again.
            Exception: what a process fails on.
        """
        for device in devices:
            self._processes.append(_Process(self._plan, device))
        while self._queue or any(one.shard is not None for one in self._processes):
            ready = wait([one.pipe for one in self._processes])
            for process in [one for one in self._processes if one.pipe in ready]:
                try:
                    kind, content = process.pipe.recv()
                except (EOFError, OSError, pickle.UnpicklingError):
                    self._replace(process)
                    continue
                if kind == "done":
                    assert process.shard is not None
                    self._worked = self._worked or content.worked
                    yield process.shard, content
                    process.shard = None
                else:
                    self._hear(process, kind, content)
            self._feed()
        self._queue.check_none_given_up()

    def close(self) -> None:
        """End all processes; what they are at is lost."""
        for one in self._processes:
            one.end()

    def _hear(self, process: _Process, kind: str, content: Any) -> None:
        """Take what a process says besides results."""
        if kind == "failed":
            error, trace = content
            raise error from RuntimeError(trace)
        if kind == "progress":
            process.progressed += content
            self._progress(content)
            return
        process.ready = True
        self._queue.hear(content)

    def _feed(self) -> None:
        for process in self._processes:
            if self._queue and process.idle:
                process.give(self._queue.next(), self._worked)

    def _replace(self, process: _Process) -> None:
        """Put back the shard of a process that has died, and start another one."""
        how = process.end(patience=5.0)
        self._processes.remove(process)
        shard = process.shard
        self._progress(-process.progressed if shard is not None else 0.0)
        again = self._queue.lost(shard, how)
        if shard is None and not again:
            raise ConfigError(
                f"{DEATHS} worker processes died before they could begin ({how}): where memory is "
                "short, pass fewer --jobs"
            )
        if shard is None:
            self._report(f"a worker died ({how}) between shards: another takes its place")
        if len(self._queue) > sum(one.idle for one in self._processes):
            self._processes.append(_Process(self._plan, process.device))


def _serve(pipe: Connection, plan: Plan, device: str) -> None:
    """A worker process: load, compile, and decode what comes, until the other side ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            decoder = plan.decoder(device)
            pipe.send(("ready", decoder.told))
            while True:
                utterances, worked = pipe.recv()
                done = decoder.decode(utterances, worked, lambda s: pipe.send(("progress", s)))
                pipe.send(("done", done))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            pipe.send(("failed", (_sendable(error), traceback.format_exc())))


def _end_with_parent() -> None:
    parent = mp.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _sendable(error: Exception) -> Exception:
    """The error, or one that can be pickled in its place."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever is in it
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


@contextmanager
def _inherited(threads: int) -> Iterator[None]:
    """Let a process that is started compute with so many threads, and leave Ctrl-C to us."""
    before = os.environ.get(_THREADS)
    resource_tracker.ensure_running()  # which lets Ctrl-C through again, where it is started later
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ[_THREADS] = str(threads)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
