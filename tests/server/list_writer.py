"""Writes lists until it is killed, and tells of each that the store has acknowledged.

    python list_writer.py WHERE FIRST

Three threads write lists of their own names, each with versions from ``FIRST`` on in its content.
A line of output is ``ID NUMBER VERSION``.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
from threading import Thread

from ctcbias_fst.server.list_store import Content, ListStore

__all__ = ["WRITERS", "content"]

WRITERS = ("one", "two", "three")


def content(list_id: str, number: int) -> Content:
    """What is written the so manieth time: a few letters, or a megabyte."""
    size = 1 + number * 7919 % 13 * 80_000
    packed = (f"{list_id} {number} " * (size // 8 + 1)).encode()
    return Content(number, hashlib.sha256(packed).hexdigest(), packed)


def write(store: ListStore, list_id: str, first: int) -> None:
    """Write it again and again."""
    for number in itertools.count(first):
        row = store.swap(list_id, store.find(list_id), content(list_id, number))
        assert row is not None, "nobody else writes it"
        os.write(1, f"{list_id} {number} {row.version}\n".encode())


if __name__ == "__main__":
    opened = ListStore(sys.argv[1])
    threads = [
        Thread(target=write, args=(opened, list_id, int(sys.argv[2]))) for list_id in WRITERS
    ]
    for thread in threads:
        thread.start()
