"""The phone set: the 39 phones of the CMU dictionary, without stress."""

from __future__ import annotations

PHONES: tuple[str, ...] = tuple(
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH "
    "UH UW V W Y Z ZH".split()
)

PHONE_ID = {phone: column for column, phone in enumerate(PHONES, start=1)}
"""Phones to columns of a phone head, whose column 0 is its blank."""
