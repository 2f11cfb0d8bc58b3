"""Configurations: frozen dataclasses read from TOML, with every unknown key refused.

Each stage defines its own dataclass beside its code; this module only turns a table of a
TOML file (or any mapping) into an instance, checking names and types.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ctcbias_fst.bounds import LARGEST
from ctcbias_fst.errors import ConfigError, warn_caller
from ctcbias_fst.files import write_text
from ctcbias_fst.text.printable import json_text
from ctcbias_fst.text.text_files import is_named_pipe, quoted

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")
_UNIONS = (typing.Union, types.UnionType)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: the file is missing, not UTF-8, or not TOML (the message has the line).
    """
    if is_named_pipe(path):
        raise ConfigError(f"{path}: is a pipe; give a file")
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except RecursionError:
        raise ConfigError(f"{path}: not a TOML file: nested too deeply") from None
    except ValueError as error:  # of TOML, UTF-8, or numbers of thousands of digits
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def load_config(cls: type[T], source: Path | str | Mapping[str, Any]) -> T:
    """Build a frozen dataclass from a TOML file or a mapping.

    Args:
        cls: a dataclass; nested dataclasses become nested tables. Its own
            ``__post_init__`` may refuse impossible values with ``ValueError``.
        source: path of a TOML file, or a mapping as parsed from one.

    Raises:
        ConfigError: an unknown key, a missing key, a wrong type, a number that is not finite or
            absurdly large, or a refused value; the message has the file, the dotted key and what
            is allowed there.
    """
    if isinstance(source, (str, Path)):
        path = Path(source)
        return _build(cls, read_toml(path), where=str(path), prefix="")
    return _build(cls, source, where="configuration", prefix="")


def to_mapping(config: Any) -> dict[str, Any]:
    """The inverse of :func:`load_config`: plain values only, tuples as lists, no ``None``."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if item is not None}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    mapping = plain(dataclasses.asdict(config))
    assert isinstance(mapping, dict)
    return mapping


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested tables by their dotted keys."""
    values: dict[str, Any] = {}
    for key, value in table.items():
        inner = isinstance(value, Mapping)
        values |= flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return values


def write_config(config: Any, path: Path) -> None:
    """Write a configuration as a TOML file, which :func:`load_config` reads."""
    write_text(path, as_toml(config))


def write_changes(changes: Mapping[str, Any], path: Path, comment: str) -> None:
    """Write some settings of a configuration as a TOML file: all others stay what they are.

    Args:
        changes: plain values in nested tables, as :func:`parse_overrides` and `difference` give.
        path: where to.
        comment: lines that say what they are, written before them.
    """
    told = "".join(f"# {line}\n" for line in comment.splitlines())
    write_text(path, told + _toml(changes))


def difference(config: Any, usual: Any) -> dict[str, Any]:
    """The values of a configuration that are not those of another, in nested tables.

    A value that only the other has is not told: TOML has no ``None``.
    """
    return _unlike(to_mapping(config), to_mapping(usual))


def _unlike(table: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    own: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            inner = _unlike(value, other.get(key, {}))
            own |= {key: inner} if inner else {}
        elif key not in other or other[key] != value:
            own[key] = value
    return own


def as_toml(config: Any) -> str:
    """A configuration as the text of a TOML file."""
    return _toml(to_mapping(config))


def parse_overrides(settings: Sequence[str]) -> dict[str, Any]:
    """Turn ``["optimiser.peak=0.002", "epochs=3"]`` into nested tables.

    A value is read as JSON where it parses as such, else as a string.

    Raises:
        ConfigError: an item has no ``=`` or runs through a value that is no table.
    """
    tables: dict[str, Any] = {}
    for setting in settings:
        dotted, equals, text = setting.partition("=")
        if not equals or not dotted:
            raise ConfigError(
                f"{quoted(setting)}: expected key=value, for example optimiser.peak=0.002"
            )
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        except (RecursionError, ValueError):
            raise ConfigError(f"{quoted(setting)}: no value that a setting can have") from None
        *parents, last = dotted.split(".")
        table = tables
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{quoted(setting)}: {parent!r} is already set to a value")
        table[last] = value
    return tables


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the tables of ``changes`` laid over it, level by level."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = (
            merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def _toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """Plain values, lists of them, and tables; a JSON string or number is one of TOML too."""
    values = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"[{prefix}]"] if prefix and values else []
    for key, value in values.items():
        lines.append(f"{key} = {json_text(value)}")
    text = "\n".join(lines) + "\n" if lines else ""
    for key, value in table.items():
        if isinstance(value, Mapping):
            below = _toml(value, f"{prefix}.{key}" if prefix else key)
            text += f"\n{below}" if text and below else below
    return text


def _build(cls: type[T], table: Any, *, where: str, prefix: str) -> T:
    if not isinstance(table, Mapping):
        raise ConfigError(
            f"{where}: {prefix.rstrip('.') or 'top level'} must be a table, found {quoted(table)}"
        )
    for key in table:
        if not isinstance(key, str) or not key:
            what = "an empty key" if key == "" else f"the key {quoted(key)}, which is no string"
            raise ConfigError(f"{where}: {prefix[:-1] + ' has' if prefix else 'there is'} {what}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, cls))}
    table, former = _renamed(cls, table)
    if former:
        now = ", ".join(f"{prefix}{key} is now {prefix}{name}" for key, name in former.items())
        warn_caller(f"{where}: settings by former names: {now}")
    removed: Mapping[str, Any] = getattr(cls, "REMOVED", {})
    for key in sorted(set(table) & set(removed)):
        if not _says_nothing(table[key], removed[key]):
            raise ConfigError(
                f"{where}: {prefix}{key} is no setting any more: leave it out (without it all is "
                f"as with {json_text(removed[key])})"
            )
    unknown = sorted(set(table) - set(fields) - set(removed))
    if unknown:
        raise ConfigError(
            f"{where}: unknown key {prefix}{quoted(unknown[0])[1:-1]}"
            f"{_meant(unknown[0], cls, prefix)} known are: {', '.join(sorted(fields))}"
        )
    values = {}
    for name, field in fields.items():
        if name in table:
            values[name] = _convert(hints[name], table[name], where, f"{prefix}{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: key {prefix}{name} is missing")
    try:
        return cls(**values)
    except ValueError as error:
        raise ConfigError(f"{where}: {prefix.rstrip('.') or cls.__name__}: {error}") from error


def by_present_names(cls: type, table: Mapping[str, Any]) -> dict[str, Any]:
    """The same settings, each by the name that it has today, level by level; nothing is told.

    Args:
        cls: the dataclass that they are of.
        table: of names and values.
    """
    hints = typing.get_type_hints(cls)
    return {
        name: by_present_names(hints[name], value)
        if isinstance(value, Mapping) and dataclasses.is_dataclass(hints.get(name))
        else value
        for name, value in _renamed(cls, table)[0].items()
    }


def _renamed(cls: type, table: Mapping[Any, Any]) -> tuple[dict[Any, Any], dict[str, str]]:
    """A table by the names of today, what it has by a former name last; and these former names."""
    renamed: Mapping[str, str] = getattr(cls, "RENAMED", {})
    former = [key for key in table if key in renamed]
    # A change by the former name is laid over a file with the name of today.
    present = {key: value for key, value in table.items() if key not in renamed}
    found = {**present, **{renamed[key]: table[key] for key in former}}
    return found, {key: renamed[key] for key in former}


def _says_nothing(value: Any, default: Any) -> bool:
    """Whether the value of a setting that was removed is what is done without it."""
    if isinstance(default, Mapping):
        return isinstance(value, Mapping) and all(
            value.get(key, one) == one for key, one in default.items()
        )
    return bool(value == default)


def _meant(key: str, cls: type, prefix: str) -> str:
    """Ask for the known key that is most like an unknown one, at its level or else below."""
    known = _keys(cls)
    for candidates in ([path for path in known if "." not in path], known):
        paths: dict[str, list[str]] = {}
        for path in candidates:
            paths.setdefault(path.rpartition(".")[2], []).append(f"{prefix}{path}")
        near = difflib.get_close_matches(key[:100], paths, n=1, cutoff=0.7)
        if near:
            same = sorted(paths[near[0]], key=lambda path: path.count("."))
            return f", did you mean {' or '.join(same)}?"
    return ";"


def _keys(cls: type, prefix: str = "") -> list[str]:
    """The dotted keys of a configuration and of those in it."""
    found = []
    for name, hint in typing.get_type_hints(cls).items():
        found.append(f"{prefix}{name}")
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            found += _keys(hint, f"{prefix}{name}.")
    return found


def _convert(hint: Any, value: Any, where: str, name: str) -> Any:  # noqa: PLR0911
    value = _plain(value)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, where=where, prefix=f"{name}.")
    if origin in _UNIONS:
        rest = [arg for arg in args if arg is not type(None)]
        return None if value is None else _convert(rest[0], value, where, name)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise _wrong(where, name, "a list", value)
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_convert(args[0], v, where, f"{name}[{i}]") for i, v in enumerate(value))
        if len(value) != len(args):
            raise _wrong(where, name, f"a list of {len(args)} values", value)
        return tuple(_convert(a, v, where, name) for a, v in zip(args, value))
    if origin is typing.Literal:
        if not any(type(value) is type(one) and value == one for one in args):
            raise _wrong(where, name, "one of " + ", ".join(map(repr, args)), value)
        return value
    if hint in (int, float) and type(value) in (int, hint):
        return _number(hint, value, where, name)
    if hint is Path and isinstance(value, (str, Path)):
        if "\0" in str(value):
            raise _wrong(where, name, "a path", value)
        return Path(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise _wrong(where, name, getattr(hint, "__name__", str(hint)), value)


def _plain(value: Any) -> Any:
    """One number, truth value or text of numpy or torch as Python's; anything else as it is."""
    if getattr(value, "shape", None) != ():
        return value
    try:
        return value.item()
    except Exception:  # whatever is in the place of a number
        return value


def _number(kind: type, value: float, where: str, name: str) -> float:
    if kind is int and not abs(value) <= LARGEST:
        raise _wrong(where, name, f"at most {LARGEST}", value)
    if not abs(value) <= 1000 * LARGEST:  # not NaN either
        raise _wrong(where, name, "a number that is finite and not absurdly large", value)
    return float(value) if kind is float else value


def _wrong(where: str, name: str, expected: str, value: Any) -> ConfigError:
    return ConfigError(f"{where}: {name} must be {expected}, found {quoted(value)}")
