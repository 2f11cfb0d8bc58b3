"""A server under load, on this machine: latency, errors, memory.

    python benchmarks/server.py --clients 16 --seconds 60
    python benchmarks/server.py --load 0.8 --seconds 1800

A clip of 4 s with a list of 1,000 names, which is compiled once. First one client alone; then so
many at a time, each of which sends the next recording when it has its transcript (closed loop);
then recordings that come by chance (Poisson) at ``--load`` of what the server managed (open loop).
Clients are threads of this process: they, too, take time of the cores.
"""

from __future__ import annotations

import io
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import click
import numpy as np
import soundfile
import urllib3

from ctcbias_fst.models.package import DEFAULT

CLIP = DEFAULT.parent / "clips" / "medical-2.flac"
SAID = "Imiglucerase"
SECONDS = 4.0
PATH = "/v1/audio/transcriptions"
SYLLABLES = "ba de fi go lu mar nel pos rin sta tov vek zan quil dor".split()


@dataclass
class Heard:
    """What came of requests.

    Attributes:
        seconds: until each was answered, those that were transcribed.
        statuses: how many had which.
        wrong: transcripts without the name.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: int = 0

    def line(self, name: str, took: float) -> str:
        """A line of the table."""
        rate, p95 = len(self.seconds) / took, self.p95
        median = statistics.median(self.seconds) if self.seconds else math.nan
        told = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        return (
            f"{name:<24} {rate:6.1f}/s  P50 {median:6.3f} s  P95 {p95:6.3f} s  {told}; "
            f"{self.wrong} without the name"
        )

    @property
    def p95(self) -> float:
        """Of the seconds."""
        ordered = sorted(self.seconds)
        return ordered[int(0.95 * len(ordered))] if ordered else math.nan


class Client:
    """Sends the same recording with the same list."""

    def __init__(self, url: str, names: list[str]) -> None:
        samples, rate = soundfile.read(CLIP, dtype="float32")
        padded = np.pad(samples, (0, int(SECONDS * rate) - len(samples)))
        held = io.BytesIO()
        soundfile.write(held, padded, rate, format="WAV", subtype="PCM_16")
        fields: list[tuple[str, Any]] = [("file", ("clip.wav", held.getvalue()))]
        fields += [("keywords[]", name) for name in names]
        self._body, self._kind = urllib3.encode_multipart_formdata(fields)
        self._http = urllib3.PoolManager(maxsize=256, retries=False)
        self._url = url + PATH

    def send(self, heard: Heard) -> None:
        """Send it, and note what comes."""
        begin = time.perf_counter()
        try:
            answer = self._http.request(
                "POST", self._url, body=self._body, headers={"content-type": self._kind}
            )
        except urllib3.exceptions.HTTPError as error:
            heard.statuses[type(error).__name__] += 1
            return
        heard.statuses[str(answer.status)] += 1
        if answer.status == 200:
            heard.seconds.append(time.perf_counter() - begin)
            heard.wrong += SAID not in answer.data.decode()


def closed(client: Client, clients: int, seconds: float) -> tuple[Heard, float]:
    """Each client sends the next when it has its answer."""
    heard, begin = Heard(), time.perf_counter()

    def go() -> None:
        while time.perf_counter() - begin < seconds:
            client.send(heard)

    threads = [Thread(target=go) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return heard, time.perf_counter() - begin


def opened(client: Client, rate: float, seconds: float) -> tuple[Heard, float]:
    """Recordings come by chance, whether or not those before are done."""
    heard, chance = Heard(), random.Random(0)
    begin = due = time.perf_counter()
    with ThreadPoolExecutor(200) as threads:
        while due - begin < seconds:
            due += chance.expovariate(rate)
            time.sleep(max(0.0, due - time.perf_counter()))
            threads.submit(client.send, heard)
    return heard, time.perf_counter() - begin


@contextmanager
def served(options: list[str]) -> Iterator[tuple[str, int]]:
    """A server of this checkout: its address and process."""
    command = [sys.executable, "-m", "ctcbias_fst", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        Thread(target=process.stderr.read, daemon=True).start()
        try:
            yield line.strip().partition("listening on ")[2], process.pid
        finally:
            process.send_signal(signal.SIGTERM)


def held(process: int) -> tuple[float, int]:
    """MB of memory and open files of a process."""
    status = Path(f"/proc/{process}/status").read_text()
    kb = next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]
    return int(kb) / 1000, len(list(Path(f"/proc/{process}/fd").iterdir()))


@click.command()
@click.option("--clients", type=click.IntRange(1, 200), default=16)
@click.option("--seconds", type=click.FloatRange(1), default=30.0, help="Of each loop.")
@click.option("--load", type=click.FloatRange(0.01, 2.0), default=0.8, help="Of the open loop.")
@click.option("--names", type=click.IntRange(0, 20_000), default=1000)
@click.option("--workers", type=click.IntRange(1), help="Of the server.")
def main(clients: int, seconds: float, load: float, names: int, workers: int | None) -> None:
    """Measure a server that this starts."""
    chance = random.Random(1)
    made = {
        " ".join("".join(chance.sample(SYLLABLES, 3)).title() for _ in "ab") for _ in range(names)
    }
    options = [] if workers is None else ["--workers", str(workers)]
    cores = len(os.sched_getaffinity(0))
    with served(options) as (url, process):
        client = Client(url, [SAID, *sorted(made)])
        closed(client, 1, 3.0)
        alone, took = closed(client, 1, min(seconds, 20.0))
        click.echo(alone.line("one client", took))
        several, took = closed(client, clients, seconds)
        click.echo(several.line(f"{clients} clients", took))
        once = statistics.median(alone.seconds)
        bound = 2 * once * clients / cores
        wanted = f"2 x {once:.3f} s x {clients} / {cores} cores = {bound:.3f} s"
        click.echo(f"P95 {several.p95:.3f} s, {wanted}: ratio {several.p95 / bound:.2f}")
        rate = load * len(several.seconds) / took
        opened(client, rate, min(60.0, seconds))
        before = held(process)
        by_chance, took = opened(client, rate, seconds)
        after = held(process)
        click.echo(by_chance.line(f"{rate:.1f} a second by chance", took))
        click.echo(
            f"memory {before[0]:.0f} -> {after[0]:.0f} MB ({after[0] / before[0] - 1:+.1%}), "
            f"open files {before[1]} -> {after[1]}"
        )


if __name__ == "__main__":
    main()
