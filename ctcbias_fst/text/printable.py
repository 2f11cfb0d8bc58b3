"""What text becomes in a file: names, ids and words may hold characters that no format takes.

The one place that decides it. Names of lists have lost their control characters when they were
read; ids, file names, tokens and the texts of others have not.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from ctcbias_fst.errors import warn_caller
from ctcbias_fst.text.text_files import quoted

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


def one_token_each(
    texts: Iterable[str], where: str, token: Callable[[str], str] = one_token
) -> dict[str, str]:
    """The same for each of several texts: texts that differ stay different, by a number behind.

    What is one token as it is stays so. A number is warned of.

    Args:
        texts: any.
        where: what the tokens are for.
        token: makes one of a text.
    """
    distinct = dict.fromkeys(texts)
    tokens = {text: text for text in distinct if token(text) == text}
    taken = set(tokens)
    for text in distinct:
        if text in tokens:
            continue
        found, number = token(text), 2
        while found in taken:
            found, number = f"{token(text)}_{number}", number + 1
        if number > 2:
            warn_caller(f"{quoted(text)} is {found} in {where}: {token(text)} is another")
        tokens[text] = found
        taken.add(found)
    return tokens


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
