"""What is kept between runs: made once, shared, made anew when it is damaged."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generated import EDITS, Edit, many, spoil
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst import cache
from ctcbias_fst.cache import VARIABLE, Arrays, cache_folder, load_or_build
from ctcbias_fst.pronunciation.pronunciation_table import PronunciationTable
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.variants import shipped as package
from ctcbias_fst.variants.shipped import (
    ADDITIONS,
    DEFAULT,
    load_pronouncer,
    load_variants,
    pronunciation_table,
    spelling_variants,
)
from ctcbias_fst.variants.variants import (
    Variant,
    VariantsConfig,
    variants_from_arrays,
    variants_to_arrays,
)

MADE: list[int] = []


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "load_or_build"))
    MADE.clear()
    return tmp_path / "load_or_build"


def numbers(count: int) -> list[int]:
    """The numbers below ``count``, from the cache if it has them."""

    def make() -> list[int]:
        MADE.append(count)
        return list(range(count))

    return load_or_build(
        "numbers",
        {"count": count},
        make,
        lambda made: {"numbers": np.array(made, dtype=np.int64)},
        lambda arrays: [int(number) for number in arrays["numbers"]],
    )


def test_it_is_made_once(folder: Path) -> None:
    assert numbers(3) == numbers(3) == [0, 1, 2]
    assert numbers(0) == numbers(0) == []
    assert MADE == [3, 0]
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "other", "empty"])
def test_what_is_damaged_is_made_anew(
    folder: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    numbers(30)
    numbers(31)
    (path, other) = sorted(folder.iterdir(), key=lambda item: item.stat().st_size)
    content = path.read_bytes()
    if damage == "other":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(
            {
                "cut": content[: len(content) // 2],
                "flipped": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
                "empty": b"",
            }[damage]
        )
    MADE.clear()
    with caplog.at_level(logging.WARNING):
        assert numbers(30) == list(range(30))
    assert MADE == [30]
    assert str(path) in caplog.text
    assert numbers(31) == list(range(31))
    assert MADE == [30]
    assert other.is_file()
    if damage != "other":
        assert path.read_bytes() == content


@pytest.mark.parametrize("off", ["", "off", "OFF"])
def test_it_can_be_turned_off(folder: Path, off: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, off)
    assert numbers(2) == numbers(2)
    assert MADE == [2, 2]
    assert not folder.exists()


def test_where_it_is_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(cache.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "ctcbias"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "ctcbias"


@given(at=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255), cut=st.booleans())
def test_damage_of_any_kind_changes_nothing(at: float, bits: int, cut: bool) -> None:
    """One byte is another one, or the file ends there."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, folder)
        numbers(50)
        (path,) = Path(folder).iterdir()
        good = path.read_bytes()
        place = int(at * len(good))
        rest = b"" if cut else bytes([good[place] ^ bits]) + good[place + 1 :]
        path.write_bytes(good[:place] + rest)
        assert numbers(50) == list(range(50))
        assert path.read_bytes() == good


KINDS: dict[str, Callable[[Arrays], object]] = {
    "names": PronunciationTable.from_arrays,
    "spellings": variants_from_arrays,
}


def good_arrays(kind: str) -> dict[str, Any]:
    if kind == "names":
        listed = entities_from_names(["peace", "metformin", "東京"])
        return PronunciationTable.of(load_pronouncer().pronounce_entities(listed)).arrays()
    return variants_to_arrays([[Variant("a", 0.5), Variant("bc", 1.0)], [], [Variant("d", 0)]])


CHANGES: tuple[Callable[[Any], Any], ...] = (
    lambda array: array[:0],
    lambda array: array[:-1],
    lambda array: array[None],
    lambda array: array.ravel(),
    lambda array: np.zeros((), dtype=array.dtype),
    lambda array: -array.astype(np.int64) - 1,
    lambda array: array.astype(np.int64) + (1 << 30),
    lambda array: np.full(array.shape, np.nan),
    lambda array: array.astype(bool),
    lambda array: array[::-1],
    lambda array: np.concatenate([array, array]),
)


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_another_form_are_made_anew(
    folder: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whole and with a digest, but of another version, or written by somebody else."""
    good = good_arrays(kind)

    def get() -> object:
        return load_or_build(kind, "content", lambda: "made anew", lambda _: good, KINDS[kind])

    assert get() == "made anew"
    assert get() != "made anew"
    (path,) = folder.iterdir()
    refused = 0
    for name in good:
        for change in (None, *CHANGES):
            arrays = dict(good)
            if change is None:
                del arrays[name]
            else:
                arrays[name] = change(good[name])
            cache._write(path, arrays)
            caplog.clear()
            again = get() == "made anew"
            assert again is (str(path) in caplog.text)
            refused += again
            assert get() != "made anew"
    assert refused > 5 * len(good)


GOOD: dict[str, dict[str, Any]] = {}


@many("files of the cache", 5000)
@given(kind=st.sampled_from(sorted(KINDS)), edits=EDITS)
def test_much_damage(kind: str, edits: list[Edit]) -> None:
    good = GOOD.setdefault(kind, good_arrays(kind))

    def get() -> object:
        return load_or_build(kind, "content", lambda: "made anew", lambda _: good, KINDS[kind])

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, folder)
        get()
        (path,) = Path(folder).iterdir()
        whole = path.read_bytes()
        path.write_bytes(spoil(whole, edits))
        get()
        assert path.read_bytes() == whole or get() != "made anew"


def alone(work: Callable[[], bool]) -> bool:
    """Whether ``work`` returns True in a process of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of threads, of which we need none
        child = os.fork()
    if not child:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("room", [0, 100, 1000, 20_000])
def test_a_full_disk_is_no_error(folder: Path, room: int) -> None:
    folder.mkdir()

    def work() -> bool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        return numbers(5000) == numbers(5000) == list(range(5000))

    assert alone(work)
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork") or os.geteuid() != 0, reason="only root can be another")
@pytest.mark.parametrize(
    ("of_folder", "of_file", "made"),
    [(0o755, 0o644, [8]), (0o711, 0o644, [8]), (0o755, 0o600, [7, 8]), (0o700, 0o644, [7, 8])],
)
def test_a_folder_of_another_user_is_no_error(
    monkeypatch: pytest.MonkeyPatch, of_folder: int, of_file: int, made: list[int]
) -> None:
    """What may be read is read, and nothing written."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv(VARIABLE, folder)
        numbers(7)
        (path,) = Path(folder).iterdir()
        path.chmod(of_file)
        Path(folder).chmod(of_folder)

        def work() -> bool:
            os.setuid(65534)
            MADE.clear()
            return numbers(7) == list(range(7)) and numbers(8) == list(range(8)) and made == MADE

        assert alone(work)
        assert len(list(Path(folder).iterdir())) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_no_error(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir(mode=0o500)
    assert numbers(4) == [0, 1, 2, 3]
    assert VARIABLE in caplog.text


def test_a_path_that_is_no_folder_is_no_error(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write_text("")
    assert numbers(4) == [0, 1, 2, 3]
    assert VARIABLE in caplog.text


def test_what_was_not_used_for_longest_goes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for age, count in enumerate((10, 20, 30)):
        numbers(count)
        (new,) = [path for path in folder.iterdir() if path.stat().st_mtime > 1e6]
        os.utime(new, (age, age))
    numbers(10)  # used again
    monkeypatch.setattr(cache, "_MAX_BYTES", 3 * 350)
    numbers(40)
    MADE.clear()
    for count in (40, 10):
        numbers(count)
    assert MADE == []
    numbers(20)
    assert MADE == [20]


def _many(count: int) -> list[int]:
    return [len(numbers(size)) for size in range(count)]


def test_processes_may_share_it(folder: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(_many, [12] * 3) == [list(range(12))] * 3
    assert len(list(folder.iterdir())) == 12


def test_lists_are_pronounced_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["metformin", "O'Hara", "東京", "J R Smith"]
    listed = entities_from_names([*names, {"name": "kesha", "pronunciations": ["K EH SH AH"]}])
    expected = PronunciationTable.of(load_pronouncer().pronounce_entities(listed))
    assert not folder.exists()
    monkeypatch.setattr(package, "_KEPT_FROM", 1)
    first = pronunciation_table(listed)
    monkeypatch.setattr(package, "load_pronouncer", None)
    second = pronunciation_table(listed)
    for spoken in (first, second):
        for name, array in expected.arrays().items():
            np.testing.assert_array_equal(array, spoken.arrays()[name])
    assert second.pronunciations(0)[0].cost == 0.0
    assert second.pronunciations(2) == []
    with pytest.raises(TypeError):  # another list is another item
        pronunciation_table(entities_from_names(names))


ANOTHER: dict[str, Any] = {
    "name": "kisha",
    "display": "BBC",
    "weight": 2.0,
    "category": "drug",
    "sounds_like": ("peace",),
    "pronunciations": (("K", "IY", "SH"),),
    "line": 7,
    "prior": 3.0,
    "spoken": (("two", 0.5),),
}
"""Another value for every field of an entity."""


def same_arrays(one: PronunciationTable, other: PronunciationTable) -> bool:
    return all(np.array_equal(array, other.arrays()[name]) for name, array in one.arrays().items())


@pytest.mark.parametrize("field", Entity._fields)
def test_a_list_that_sounds_otherwise_is_another_item(
    folder: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    """Whatever of its entities differs: what the user says of a name's sound above all."""
    monkeypatch.setattr(package, "_KEPT_FROM", 1)
    plain = Entity("bbc", "bbc", line=1)
    full = plain._replace(sounds_like=("b c",), pronunciations=(("B", "IY"),))
    for entity in (plain, full, plain._replace(spoken=(("one", 0.0),))):
        several = [plain._replace(name="metformin"), entity]
        other = [several[0], entity._replace(**{field: ANOTHER[field]})]
        first, second = pronunciation_table(several), pronunciation_table(other)
        for listed, spoken in ((several, first), (other, second)):
            assert same_arrays(
                spoken, PronunciationTable.of(load_pronouncer().pronounce_entities(listed))
            )
    items = len(list(folder.iterdir()))
    # What has no say in the sound makes no other item.
    assert (items > 3) is (field in package.PRONOUNCED_FIELDS)


def test_a_list_of_more_or_other_spellings_is_another_item(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "_KEPT_FROM", 1)
    for names, n in ((["keisha"], 2), (["keisha"], 3), (["keisha", "metformin"], 2), (["kea"], 2)):
        assert spelling_variants(names, n) == load_variants().spelling_variants(names, n)
    assert len(list(folder.iterdir())) == 4


@pytest.mark.parametrize("field", [field.name for field in fields(VariantsConfig)])
def test_other_weights_spell_otherwise(
    folder: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    monkeypatch.setattr(package, "_KEPT_FROM", 1)
    spelling_variants(["keisha"], 2)
    value = getattr(VariantsConfig(), field) + 1
    monkeypatch.setattr(package, "VariantsConfig", lambda: VariantsConfig(**{field: value}))
    spelling_variants(["keisha"], 2)
    assert len(list(folder.iterdir())) == 2


def test_files_that_are_edited_are_read_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a process that read them before: what it keeps must not be of the old ones."""
    monkeypatch.setattr(package, "_KEPT_FROM", 1)
    sounds = tmp_path / "sounds"
    shutil.copytree(DEFAULT, sounds)
    listed = entities_from_names(["blorvanex"])
    before = pronunciation_table(listed, sounds).pronunciations(0)
    with (sounds / ADDITIONS).open("a", encoding="utf-8") as file:
        file.write("blorvanex\tB L AO R\n")
    after = pronunciation_table(listed, sounds).pronunciations(0)
    right = tuple(PHONES.index(phone) + 1 for phone in ("B", "L", "AO", "R"))
    assert [one.phones for one in after] == [right]
    assert before != after
    assert pronunciation_table(listed, sounds).pronunciations(0) == after


def test_lists_are_spelt_otherwise_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["metformin", "b12", "lydia culverhouse"]
    expected = load_variants().spelling_variants(names, 3)
    assert expected[1] == []
    monkeypatch.setattr(package, "_KEPT_FROM", 1)
    assert spelling_variants(names, 3) == expected
    monkeypatch.setattr(package, "_variants", None)
    assert spelling_variants(names, 3) == expected
    monkeypatch.undo()
    assert spelling_variants(["b12"], 3) == [[]]
    with pytest.raises(ValueError, match="as many"):
        variants_from_arrays({**variants_to_arrays(expected), "cost": np.zeros(1)})


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    good = PronunciationTable.of(
        load_pronouncer().pronounce_entities(entities_from_names(["peace"]))
    )
    for name, array in good.arrays().items():
        with pytest.raises(ValueError, match="fit together|out of range"):
            PronunciationTable.from_arrays({**good.arrays(), name: array[:-1]})
    with pytest.raises(ValueError, match="out of range"):
        PronunciationTable.from_arrays({**good.arrays(), "phones": good.phones + np.uint8(100)})
