"""The contextual adapter: what it must leave alone, and that it can find a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from ctcbias_fst.models.adapter import (
    ContextualAdapter,
    EntityBatch,
    EntityKeys,
)
from ctcbias_fst.models.encoder_output import EncoderOutput
from ctcbias_fst.models.listed import ListedNames, keys_of_batch
from ctcbias_fst.models.model_config import AdapterConfig, ModelConfig
from ctcbias_fst.shortlist.subword_index import SubwordIndex
from ctcbias_fst.text.encoded_entities import EncodedEntities

CONFIG = AdapterConfig(width=8, heads=2, head_size=4, fusion=8)


@pytest.fixture
def adapter(tiny_config: ModelConfig) -> ContextualAdapter:
    torch.manual_seed(0)
    made = ContextualAdapter(CONFIG, tiny_config.adapter_shape).eval()
    torch.nn.init.normal_(made.project.weight)
    torch.nn.init.normal_(made.pointers.weight)
    with torch.no_grad():
        made.no_bias_score.fill_(-6.0)
    return made


def names(*rows: list[int]) -> EntityBatch:
    lengths = torch.tensor([len(row) for row in rows])
    tokens = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(row)
    return EntityBatch(tokens, lengths)


def speech(batch: int = 2, frames: int = 5, tokens: int = 80) -> EncoderOutput:
    torch.manual_seed(1)
    states, *taps = (torch.randn(batch, frames, 16) for _ in range(3))
    return heard(states, taps, torch.randn(batch, frames, tokens))


def heard(
    states: torch.Tensor, taps: Sequence[torch.Tensor], logits: torch.Tensor
) -> EncoderOutput:
    log_probs = logits.log_softmax(-1)
    lengths = torch.full((len(states),), states.shape[1])
    return EncoderOutput(log_probs, lengths, states, tuple(taps))


@torch.inference_mode()
def test_rows_are_the_names_subwords(adapter: ContextualAdapter) -> None:
    keys = adapter.embed(names([5, 6], [7], [8, 9, 10]))
    assert keys.entity.tolist() == [0, 0, 1, 2, 2, 2]
    assert keys.position.tolist() == [0, 1, 0, 0, 1, 2]
    assert keys.keys.shape == (6, 2, 4)
    assert keys.token.tolist() == [5, 6, 7, 8, 9, 10]
    assert keys.previous.tolist() == [0, 5, 0, 0, 8, 9]
    assert keys.following.tolist() == [6, 0, 0, 9, 10, 0]


@torch.inference_mode()
def test_neighbours_in_a_name_are_heard_on_their_sides(adapter: ContextualAdapter) -> None:
    """The token before counts where it was heard before, the one behind where it comes next."""
    logits = torch.full((1, 5, 80), -9.0)
    logits[0, range(5), [0, 5, 6, 7, 0]] = 9.0
    output = heard(torch.zeros(1, 5, 16), [torch.zeros(1, 5, 16)] * 2, logits)
    keys = adapter.embed(names([5, 6, 7]))
    adapter.config = replace(adapter.config, reach=1)
    sounds = {}
    for at, side in enumerate(("own", "left", "right"), start=0):
        adapter.evidence.copy_(torch.eye(4)[at])
        sounds[side] = (adapter._evidence(output, keys)[0] > -0.1).T.int().tolist()
    assert sounds["own"] == [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]
    assert sounds["left"] == [[1, 1, 1, 1, 1], [0, 1, 1, 0, 0], [0, 0, 1, 1, 0]]
    assert sounds["right"] == [[0, 1, 1, 0, 0], [0, 0, 1, 1, 0], [1, 1, 1, 1, 1]]


@torch.inference_mode()
def test_attention_is_a_distribution(adapter: ContextualAdapter) -> None:
    said = speech()
    output = adapter(said, adapter.embed(names([5, 6], [7])))
    for attention in (output.attention, output.glance):
        assert attention.shape == (2, 5, 4)
        torch.testing.assert_close(attention.sum(-1), torch.ones(2, 5))
    assert (output.attention[:, :, 1:] <= output.glance[:, :, 1:]).all()
    assert not torch.allclose(output.states, said.states)


@torch.inference_mode()
def test_no_allowed_name_changes_nothing(adapter: ContextualAdapter) -> None:
    said = speech()
    keys = adapter.embed(names([5, 6], [7]))
    allowed = torch.tensor([[False, False, False], [True, True, False]])
    output = adapter(said, keys, allowed)
    assert torch.equal(output.states[0], said.states[0])
    alone = adapter(said.select([1]), adapter.embed(names([5, 6])))
    torch.testing.assert_close(output.states[1:], alone.states, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_lists_of_their_own_equal_each_list_alone(adapter: ContextualAdapter) -> None:
    said = speech(batch=3)
    lists = [adapter.embed(names([5, 6], [7])), adapter.no_keys(), adapter.embed(names([8]))]
    keys, allowed = EntityKeys.stack(lists)
    assert allowed.tolist() == [[True] * 3, [False] * 3, [True, False, False]]
    output = adapter(said, keys, allowed)
    assert torch.equal(output.states[1], said.states[1])
    for i in (0, 2):
        alone = adapter(said.select([i]), lists[i])
        torch.testing.assert_close(output.states[i : i + 1], alone.states, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_all_attention_on_no_bias_changes_nothing(adapter: ContextualAdapter) -> None:
    adapter.no_bias_score.fill_(1e4)
    said = speech()
    output = adapter(said, adapter.embed(names([5, 6], [7])))
    torch.testing.assert_close(output.states, said.states, atol=1e-5, rtol=0)


def test_a_new_adapter_changes_nothing_yet(tiny_config: ModelConfig) -> None:
    new = ContextualAdapter(CONFIG, tiny_config.adapter_shape)
    said = speech()
    assert torch.equal(new(said, new.embed(names([5], [6]))).states, said.states)


@torch.inference_mode()
def test_order_of_names_does_not_matter(adapter: ContextualAdapter) -> None:
    said = speech()
    rows = [[5, 6], [7], [8, 9, 10]]
    first = adapter(said, adapter.embed(names(*rows)))
    second = adapter(said, adapter.embed(names(*reversed(rows))))
    torch.testing.assert_close(first.states, second.states, atol=1e-5, rtol=0)


def test_learns_to_look_at_the_name_that_is_spoken(tiny_config: ModelConfig) -> None:
    torch.manual_seed(0)
    config = AdapterConfig(width=8, heads=1, head_size=16, fusion=8)
    adapter = ContextualAdapter(config, tiny_config.adapter_shape)
    optimiser = torch.optim.Adam(adapter.parameters(), lr=0.02)
    sounds = torch.randn(80, 16)

    def share_right() -> torch.Tensor:
        rows = [torch.randint(2, 80, (3,)).tolist() for _ in range(6)]
        states = torch.stack([sounds[rows[i]] for i in range(6)])
        keys = adapter.embed(names(*rows))
        unheard = torch.zeros(*states.shape[:2], 80)
        attention = adapter(heard(states, (states, states), unheard), keys).glance
        wanted = 1 + torch.arange(18).view(6, 3)
        return attention.gather(2, wanted[:, :, None]).mean()

    def mean_share() -> float:
        """Of many draws: a single one differs from the next by some hundredths."""
        with torch.no_grad():
            return float(torch.stack([share_right() for _ in range(100)]).mean())

    before = mean_share()
    for _ in range(800):
        optimiser.zero_grad()
        (-share_right().log()).backward()
        optimiser.step()
    assert before < 0.2
    assert mean_share() > 0.4


def written(frames: dict[int, int], length: int = 12, tokens: int = 80) -> torch.Tensor:
    """Logits of one utterance that is surely blank but where a token is named."""
    logits = torch.full((1, length, tokens), -12.0)
    for frame in range(length):
        logits[0, frame, frames.get(frame, 0)] = 12.0
    return logits


@torch.inference_mode()
def test_what_the_model_hears_draws_attention_before_any_training(
    tiny_config: ModelConfig,
) -> None:
    torch.manual_seed(0)
    adapter = ContextualAdapter(CONFIG, tiny_config.adapter_shape).eval()
    torch.nn.init.zeros_(adapter.keys.weight)
    keys = adapter.embed(names([5, 6, 7], [8, 6, 9]))
    said = speech(batch=1, frames=12)
    said = heard(said.states, said.tap_states, written({2: 5, 4: 6, 6: 7}))
    glance = adapter(said, keys).glance[0]
    # The 6 of the first name, whose neighbours are heard beside it, and not that of the second.
    assert glance[4, 1:].argmax() == 1
    assert glance[4, 2] > 20 * glance[4, 5]
    far = heard(said.states, said.tap_states, written({0: 5, 11: 6}))
    near = heard(said.states, said.tap_states, written({3: 5, 11: 6}))
    evidence = (adapter._evidence(one, keys)[0, 11, 1] for one in (far, near))
    assert next(evidence) < next(evidence) - 2.0


@torch.inference_mode()
def test_a_name_must_be_covered(adapter: ContextualAdapter) -> None:
    """Attention on one subword of three counts for little, on all of them nearly in full."""
    keys = adapter.embed(names([5, 6, 7], [8]))
    attention = torch.zeros(1, 6, 4)
    attention[0, 2, 0] = 0.9
    counts = adapter._covered(attention, keys, 0.0)[0]
    assert counts[:3].max() < 0.35
    attention[0, 3, 1] = attention[0, 4, 2] = 0.9
    counts = adapter._covered(attention, keys, 0.0)[0]
    assert counts[:3].min() > 0.99
    assert counts[3] < 0.01
    cautious = adapter._covered(attention, keys, 0.5)[0]
    torch.testing.assert_close(cautious[:3], torch.full((3,), 0.5), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_with_caution_less_is_added(adapter: ContextualAdapter) -> None:
    said = speech(batch=2)
    keys = adapter.embed(names([5, 6], [7], [8, 9, 10]))
    on_names = [
        adapter(said, keys, coverage_margin=coverage_margin).attention[:, :, 1:]
        for coverage_margin in (0.0, 0.3, 1.0)
    ]
    assert (on_names[1] < on_names[0]).all()
    assert (on_names[2] < on_names[1]).all()


@torch.inference_mode()
def test_padding_changes_nothing(adapter: ContextualAdapter) -> None:
    said = speech(batch=2, frames=9)
    short = torch.tensor([4, 9])
    padded = EncoderOutput(**{**vars(said), "lengths": short})
    keys = adapter.embed(names([5, 6], [7], [8, 9, 10]))
    alone = EncoderOutput(
        said.log_probs[:1, :4], short[:1], said.states[:1, :4],
        tuple(tap[:1, :4] for tap in said.tap_states),
    )  # fmt: skip
    torch.testing.assert_close(
        adapter(padded, keys).states[:1, :4], adapter(alone, keys).states, atol=1e-5, rtol=0
    )


@torch.inference_mode()
def test_large_batches_are_taken_apart(
    adapter: ContextualAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = speech(batch=3)
    shared = adapter.embed(names([5, 6], [7]))
    own, allowed = EntityKeys.stack([shared, adapter.no_keys(), adapter.embed(names([8]))])
    whole = [adapter(said, shared), adapter(said, own, allowed)]
    monkeypatch.setattr("ctcbias_fst.models.adapter._MAX_SCORES", 1)
    for before, after in zip(whole, [adapter(said, shared), adapter(said, own, allowed)]):
        torch.testing.assert_close(before.states, after.states, atol=1e-5, rtol=0)
        torch.testing.assert_close(before.attention, after.attention, atol=1e-5, rtol=0)


def encoded(*rows: list[int], owners: list[int] | None = None) -> EncodedEntities:
    return EncodedEntities(
        values=np.array([token for row in rows for token in row], dtype=np.int32),
        row_splits=np.cumsum([0, *map(len, rows)]),
        entity_index=np.array(owners or range(len(rows)), dtype=np.int32),
        cost=np.zeros(len(rows), dtype=np.float32),
    )


@torch.inference_mode()
def test_presence_is_the_mean_of_what_is_heard_best() -> None:
    said = speech(batch=2)
    index = SubwordIndex.of(encoded([5, 6], [7]))
    found = index.presence(said.log_probs, said.lengths)
    best = said.log_probs.clamp_min(-10.0).amax(1)
    torch.testing.assert_close(found[:, 0], (best[:, 5] + best[:, 6]) / 2)
    torch.testing.assert_close(found[:, 1], best[:, 7])
    likeliest = index.likeliest(said.log_probs, said.lengths, 1)[:, 0]
    assert torch.equal(likeliest, found.argmax(1))


@pytest.mark.parametrize("kept", [2, 100])
@torch.inference_mode()
def test_of_a_long_list_those_are_attended_to_that_can_be_there(
    adapter: ContextualAdapter, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr("ctcbias_fst.models.listed._KEPT", kept)
    rows = [[20, 21], [5, 6, 7], [22], [7, 8], [23, 24]]
    listed = ListedNames(adapter, encoded(*rows, owners=[0, 1, 1, 2, 3]), most=2)
    states = speech(batch=1, frames=12)
    said = heard(states.states, states.tap_states, written({2: 5, 4: 6, 6: 7, 8: 8}))
    other = heard(states.states, states.tap_states, written({1: 20, 3: 21, 7: 7, 8: 8}))
    for output, rows_of, owners in (
        (said, ([5, 6, 7], [7, 8]), [1, 1, 1, 2, 2]),
        (other, ([20, 21], [7, 8]), [0, 0, 2, 2]),
        (said, ([5, 6, 7], [7, 8]), [1, 1, 1, 2, 2]),
    ):
        (keys,) = listed.keys(output)
        assert keys.token.tolist() == [token for row in rows_of for token in row]
        assert keys.position.tolist() == [i for row in rows_of for i in range(len(row))]
        assert keys.entity.tolist() == owners
        whole = adapter.embed(names(*rows_of))
        torch.testing.assert_close(keys.keys, whole.keys)
        torch.testing.assert_close(keys.values, whole.values)


@torch.inference_mode()
def test_lists_of_a_batch(adapter: ContextualAdapter) -> None:
    said = speech(batch=4)
    first = ListedNames(adapter, encoded([5, 6], [7], [8, 9]), most=10)
    second = ListedNames(adapter, encoded([10], [11, 12, 13], [14]), most=1)
    assert keys_of_batch([None, None], said.select([0, 1])) is None
    shared = keys_of_batch([first] * 4, said)
    assert shared is not None
    assert shared[0].token.tolist() == [5, 6, 7, 8, 9]
    assert shared[1] is None
    mixed = keys_of_batch([second, None, first, second], said)
    assert mixed is not None
    keys, allowed = mixed
    assert allowed is not None
    assert not allowed[1].any()
    assert keys.token[2][allowed[2]].tolist() == [5, 6, 7, 8, 9]
    for row in (0, 3):
        (alone,) = second.keys(said.select([row]))
        assert keys.token[row][allowed[row]].tolist() == alone.token.tolist()
