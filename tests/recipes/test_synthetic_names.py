"""The split of names, and what may be spoken in training."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.synthetic.names import (
    DEV_BUCKET,
    TEST_BUCKET,
    allowed_in_training,
    bucket,
    plain,
    pronounceable,
    rare_words,
    split_of,
)


def _find(wanted: int) -> str:
    """A word in that bucket."""
    words = map("zz{}".format, "abcdefghijklmnopqrstuvwxyz")
    return next(word for word in words if bucket(word) == wanted)


HELD_OUT, TUNING = _find(TEST_BUCKET), _find(DEV_BUCKET)
FREE = next(w for w in map("zz{}".format, "abcdefgh") if bucket(w) not in (3, 7))


def frequency(word: str) -> float:
    """Words that begin with zz are rare."""
    return 1.0 if word.startswith("zz") else 5.0


def test_bucket_is_md5_of_the_lower_case_word() -> None:
    expected = int(hashlib.md5(b"radom").hexdigest(), 16) % 10
    assert bucket("Radom") == bucket("radom") == expected


@pytest.mark.parametrize(
    ("name", "split"),
    [
        (HELD_OUT, "test"),
        (TUNING, "dev"),
        (FREE, "train"),
        (f"{FREE} {HELD_OUT}", "test"),
        (f"{TUNING} {HELD_OUT}", "test"),
        (f"john {TUNING}", "dev"),
        ("john smith", "common"),
        (f"{HELD_OUT}'s", "test"),
    ],
)
def test_split_of(name: str, split: str) -> None:
    assert split_of(name, 3.0, frequency) == split


@pytest.mark.parametrize("word", [HELD_OUT, TUNING, f"{HELD_OUT}'s", f"{TUNING}'", f"'{HELD_OUT}'"])
def test_training_leaves_out_rare_words_of_dev_and_test(word: str) -> None:
    assert not allowed_in_training(f"we saw {word} again", 3.0, frequency)


def test_training_keeps_common_words_whatever_their_hash() -> None:
    common = " ".join(map("w{}".format, range(60)))
    assert {bucket(word) for word in common.split()} >= {TEST_BUCKET, DEV_BUCKET}
    assert allowed_in_training(common, 3.0, frequency)
    assert allowed_in_training(f"we saw {FREE}", 3.0, frequency)


@given(st.lists(st.sampled_from([HELD_OUT, TUNING, FREE, "john", "the"]), min_size=1, max_size=5))
def test_a_name_is_trained_on_only_if_a_sentence_with_it_is(words: list[str]) -> None:
    name = " ".join(words)
    trainable = split_of(name, 3.0, frequency) in ("train", "common")
    assert trainable == allowed_in_training(name, 3.0, frequency)


def test_rare_words_see_through_possessives() -> None:
    assert FREE in rare_words(f"the {FREE}'s", 3.0, frequency)


@pytest.mark.parametrize("name", ["abetalipoproteinemia", "radom", "cape coast", "mcginty"])
def test_pronounceable(name: str) -> None:
    assert pronounceable(name)


@pytest.mark.parametrize(
    "name", ["nkccs", "apap", "x", "bcdfgh", "a b", "one two three", "il2", "strengthsxq", ""]
)
def test_not_pronounceable(name: str) -> None:
    assert not pronounceable(name, min_letters=5)


def test_plain_strips_accents() -> None:
    assert plain("São-Łódź") == "sao lodz"
