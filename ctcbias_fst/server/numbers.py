"""Numbers that come as text, in fields and in addresses."""

from __future__ import annotations

from ctcbias_fst.server.api_errors import ApiError
from ctcbias_fst.text.text_files import quoted


def counted(name: str, value: str, most: int) -> int:
    """A number from 1 to ``most``, in digits.

    Raises:
        ApiError: it is none (400).
    """
    digits = value.lstrip("0") if value.isascii() and value.isdecimal() else ""
    # Python reads no number of thousands of digits: their count is compared first.
    if not digits or len(digits) > len(str(most)) or int(digits) > most:
        raise ApiError(400, f"{name} is 1 to {most}, not {quoted(value)}", param=name)
    return int(digits)
