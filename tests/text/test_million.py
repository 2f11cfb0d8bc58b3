"""Large lists stay quick."""

from __future__ import annotations

import random
import string
import time
from pathlib import Path

import pytest

from ctcbias_fst.text.checked_entities import check_entities
from ctcbias_fst.text.encoded_entities import encode_entities
from ctcbias_fst.text.entities import entities_from_names, read_entities
from ctcbias_fst.text.tokens import SentencePieceTokenizer

pytestmark = pytest.mark.slow

COUNT = 1_000_000


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A million different names of one to three invented words."""
    generator = random.Random(0)
    syllables = ["ba", "ko", "ri", "mon", "tel", "fra", "xi", "zu", "quen", "dor", "par", "li"]
    made: set[str] = set()
    while len(made) < COUNT:
        words = ["".join(generator.choices(syllables, k=3)) for _ in range(generator.randint(1, 3))]
        made.add(" ".join(words).title())
    path = tmp_path_factory.mktemp("million") / "names.txt"
    path.write_text("".join(f"{name}\n" for name in sorted(made)))
    return path


def test_reading_and_encoding(names: Path, tokenizer: SentencePieceTokenizer) -> None:
    start = time.process_time()
    entities = read_entities(names)
    assert len(entities) == COUNT
    read = time.process_time() - start
    checked = check_entities(entities, tokenizer)
    assert checked == entities
    encoded = encode_entities(checked, tokenizer)
    assert len(encoded) == COUNT
    everything = time.process_time() - start
    # About 2 s and 8 s on one free core; the bounds allow for a busy machine.
    assert read < 10
    assert everything < 30


def test_names_with_numbers(names: Path, tokenizer: SentencePieceTokenizer, tmp_path: Path) -> None:
    lines = names.read_text().splitlines()
    numbered = tmp_path / "numbered.txt"
    numbered.write_text("".join(f"{name} {i % 9973}\n" for i, name in enumerate(lines)))
    start = time.process_time()
    checked = check_entities(read_entities(numbered), tokenizer)
    encoded = encode_entities(checked, tokenizer)
    # About 20 s on one free core.
    assert time.process_time() - start < 120
    assert len(checked) == COUNT
    assert len(encoded) < 2.1 * COUNT


def test_names_with_digits_take_little_longer(tokenizer: SentencePieceTokenizer) -> None:
    """For each of their forms no longer than plain names."""
    generator = random.Random(0)
    plain = sorted({"".join(generator.choices(string.ascii_lowercase, k=9)) for _ in range(50_000)})
    endings = (" {}", "-{}", " No. {}", " & Co. {}", " {}.0", " V{}")
    said = [f"{one.title()}{endings[i % 6].format(i % 9999)}" for i, one in enumerate(plain)]

    def seconds(names: list[str]) -> tuple[float, int]:
        start = time.process_time()
        checked = check_entities(entities_from_names(names), tokenizer)
        count = len(encode_entities(checked, tokenizer))
        return time.process_time() - start, count

    seconds(said[:10])
    once, _ = seconds(plain)
    longer, forms = seconds(said)
    assert forms > 2 * len(said)
    assert longer < 3 * once * forms / len(said)
