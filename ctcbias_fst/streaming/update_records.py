"""What is new in a stream, as JSON objects."""

from __future__ import annotations

from typing import Any

from ctcbias_fst.output import entity_records, word_record
from ctcbias_fst.streaming.updates import Update


def update_record(update: Update, text: str) -> dict[str, Any]:
    """What an update of a stream has that is new, as a JSON object.

    Args:
        update: of a stream.
        text: what was committed since the update before.
    """
    record: dict[str, Any] = {
        "seconds": round(update.seconds, 3),
        "text": text,
        "tentative": update.tentative,
        "words": [word_record(word) for word in update.words],
        "entities": entity_records(update.words),
    }
    if update.endpoints:
        record["endpoints"] = [
            {"seconds": round(one.seconds, 3), "rule": one.rule} for one in update.endpoints
        ]
    if update.warnings:
        record["warnings"] = list(update.warnings)
    return record
