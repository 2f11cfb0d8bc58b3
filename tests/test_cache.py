"""What is kept between runs: made once, shared, made anew when it is damaged."""

from __future__ import annotations

import logging
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from ctcbias_fst import cache
from ctcbias_fst.cache import VARIABLE, cache_folder, kept
from ctcbias_fst.sound import package
from ctcbias_fst.sound.package import load_pronouncer, load_variants, respell, speak
from ctcbias_fst.sound.spoken import SpokenNames
from ctcbias_fst.sound.variants import variants_from_arrays, variants_to_arrays
from ctcbias_fst.text.entities import entities_from_names

MADE: list[int] = []


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "kept"))
    MADE.clear()
    return tmp_path / "kept"


def numbers(count: int) -> list[int]:
    """The numbers below ``count``, from the cache if it has them."""

    def make() -> list[int]:
        MADE.append(count)
        return list(range(count))

    return kept(
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
    monkeypatch.setattr(cache, "_MOST_BYTES", 3 * 350)
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
    expected = SpokenNames.of(load_pronouncer().pronounce_entities(listed))
    assert not folder.exists()
    monkeypatch.setattr(package, "_KEPT_FROM", 1)
    first = speak(listed)
    monkeypatch.setattr(package, "load_pronouncer", None)
    second = speak(listed)
    for spoken in (first, second):
        for name, array in expected.arrays().items():
            np.testing.assert_array_equal(array, spoken.arrays()[name])
    assert second.sounds(0)[0][1] == 0.0
    assert second.sounds(2) == []
    with pytest.raises(TypeError):  # another list is another item
        speak(entities_from_names(names))


def test_lists_are_spelt_otherwise_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["metformin", "b12", "lydia culverhouse"]
    expected = load_variants().spelling_variants(names, 3)
    assert expected[1] == []
    monkeypatch.setattr(package, "_KEPT_FROM", 1)
    assert respell(names, 3) == expected
    monkeypatch.setattr(package, "_variants", None)
    assert respell(names, 3) == expected
    monkeypatch.undo()
    assert respell(["b12"], 3) == [[]]
    with pytest.raises(ValueError, match="as many"):
        variants_from_arrays({**variants_to_arrays(expected), "cost": np.zeros(1)})


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    good = SpokenNames.of(load_pronouncer().pronounce_entities(entities_from_names(["peace"])))
    for name, array in good.arrays().items():
        with pytest.raises(ValueError, match="fit together|out of range"):
            SpokenNames.from_arrays({**good.arrays(), name: array[:-1]})
    with pytest.raises(ValueError, match="out of range"):
        SpokenNames.from_arrays({**good.arrays(), "phones": good.phones + np.uint8(100)})
