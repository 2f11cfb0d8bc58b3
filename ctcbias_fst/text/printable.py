"""What text becomes in a file: names, ids and words may hold characters that no format takes.

The one place that decides it. Names of lists have lost their control characters when they were
read; ids, file names, tokens and the texts of others have not.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

__all__ = ["json_text", "one_line", "one_token"]

# Whatever some reader takes for the end of a line, and what a terminal obeys.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_HALF = re.compile("[\ud800-\udfff]")
_RAW_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def one_line(text: str) -> str:
    """Text for one line of a file or a terminal.

    Control characters, line ends among them, become a space; half of a character (a lone
    surrogate), which no file can hold, becomes U+FFFD.
    """
    return _HALF.sub("\ufffd", _CONTROL.sub(" ", text))


def one_token(text: str) -> str:
    """Text for one column of a file whose columns are parted by spaces; never empty."""
    return re.sub(r"\s", "_", one_line(text)) or "_"


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON in which letters stay letters, and no control character is raw.

    Numbers that JSON cannot write (NaN, infinity) become null.

    Args:
        value: of plain values.
        indent: of the lines; none for one line.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, indent=indent)
    return _RAW_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value
