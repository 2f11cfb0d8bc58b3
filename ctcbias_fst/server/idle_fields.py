"""What clients are told of fields that have no effect."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from ctcbias_fst.text.text_files import quoted

_CODES = {"english": "en"}
"""Of languages as ``verbose_json`` calls them, what requests call them."""


def other_model(asked: str, name: str) -> str | None:
    """Of a model that is not the server's."""
    if asked == name:
        return None
    return f"model {quoted(asked)} is not here: {quoted(name)} has answered"


def other_language(asked: str, language: str | None) -> str | None:
    """Of a language that is not the model's, as far as that is known."""
    code = asked.lower().replace("_", "-").partition("-")[0]
    if not code or (language and code in (language, _CODES.get(language))):
        return None
    is_of = f"the model's is {language}" if language else "the model decides"
    return f"language {quoted(asked)} has no effect: {is_of}"


def unknown_fields(names: Iterable[str], known: Collection[str]) -> Iterator[str]:
    """Of fields that nobody knows."""
    for name in names:
        if name not in known:
            yield f"{quoted(name)} is no field that is known, and has no effect"
