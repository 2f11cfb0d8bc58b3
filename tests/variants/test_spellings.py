"""Variants as paths of the entity tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ctcbias_fst.graph.entity_tree import build_tree
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.tokens import SentencePieceTokenizer
from ctcbias_fst.variants.spellings import SpellingsConfig, encode_spellings
from ctcbias_fst.variants.variants import Variant

VARIANTS = {
    "keisha": ("keesha", "kisha", "keysha"),
    "john smith": ("jon smith", "john smyth"),
    "kisha": ("keisha", "kesha"),
    "york": ("yörk", "yorc"),
}


class Fixed:
    """Variants as they are listed above, each costing one more than the one before."""

    def spelling_variants(self, names: Sequence[str], n: int) -> list[list[Variant]]:
        return [
            [Variant(text, float(cost)) for cost, text in enumerate(VARIANTS[name], start=1)][:n]
            for name in names
        ]


def rows(listed: list[Any], tokenizer: SentencePieceTokenizer, **settings: Any) -> dict[str, Any]:
    """Text of every row to (name, cost)."""
    entities = entities_from_names(listed)
    config = SpellingsConfig(**settings) if settings else None
    found = encode_spellings(
        entities,
        tokenizer,
        config=config,
        variants=Fixed(),  # type: ignore[arg-type]
    )
    assert len(found.row_splits) == len(found) + 1 == len(found.cost) + 1
    assert found.row_splits[-1] == len(found.values)
    assert np.all(np.diff(found.row_splits) > 0)
    build_tree(found, tuple(entities), tokenizer.vocabulary)
    texts = [" ".join(tokenizer.vocabulary.ids_to_words(found.row(i))) for i in range(len(found))]
    owners = [entities.entities[i].name for i in found.entity_index.tolist()]
    return dict(zip(texts, zip(owners, found.cost.tolist())))


def test_variants_emit_their_name_at_their_cost(tokenizer: SentencePieceTokenizer) -> None:
    found = rows(["keisha", "john smith"], tokenizer, number=2, cost=0.5, scale=0.25)
    assert found == {
        "keisha": ("keisha", 0.0),
        "john smith": ("john smith", 0.0),
        "keesha": ("keisha", 0.75),
        "kisha": ("keisha", 1.0),
        "jon smith": ("john smith", 0.75),
        "john smyth": ("john smith", 1.0),
    }


def test_names_of_the_list_are_nobody_elses_variant(tokenizer: SentencePieceTokenizer) -> None:
    listed = [{"name": "keisha", "sounds_like": ["keysha"]}, "kisha"]
    found = rows(listed, tokenizer, number=9, cost=0.0, scale=1.0)
    assert found["kisha"] == ("kisha", 0.0)
    assert found["keisha"] == ("keisha", 0.0)
    assert found["keysha"] == ("keisha", 0.0)
    assert found["keesha"] == ("keisha", 1.0)
    assert found["kesha"] == ("kisha", 2.0)


def test_what_the_vocabulary_cannot_write_is_left_out(tokenizer: SentencePieceTokenizer) -> None:
    found = rows(["york"], tokenizer, number=9)
    assert list(found) == ["york", "yorc"]


def test_long_lists_get_none(tokenizer: SentencePieceTokenizer) -> None:
    listed = ["keisha", "john smith"]
    assert len(rows(listed, tokenizer, max_names=2)) > 2
    assert list(rows(listed, tokenizer, max_names=1)) == listed


def test_no_variants(tokenizer: SentencePieceTokenizer) -> None:
    assert rows(["keisha"], tokenizer) == rows(["keisha"], tokenizer, number=0)
    assert rows([], tokenizer, number=5) == {}
    with pytest.raises(ValueError, match="cost must be 0 or more"):
        SpellingsConfig(cost=-1.0)
