"""The contextual adapter: what it must leave alone, and that it can find a name."""

from __future__ import annotations

import pytest
import torch

from ctcbias_fst.acoustic.adapter import ContextualAdapter, EntityBatch, EntityKeys
from ctcbias_fst.acoustic.config import AdapterConfig, ModelConfig

CONFIG = AdapterConfig(width=8, heads=2, head_size=4, fusion=8)


@pytest.fixture
def adapter(tiny_config: ModelConfig) -> ContextualAdapter:
    torch.manual_seed(0)
    made = ContextualAdapter(CONFIG, tiny_config.encoder, tiny_config.tokens).eval()
    torch.nn.init.normal_(made.project.weight)
    return made


def names(*rows: list[int]) -> EntityBatch:
    lengths = torch.tensor([len(row) for row in rows])
    tokens = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(row)
    return EntityBatch(tokens, lengths)


def speech(batch: int = 2, frames: int = 5) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    torch.manual_seed(1)
    return torch.randn(batch, frames, 16), (
        torch.randn(batch, frames, 16),
        torch.randn(batch, frames, 16),
    )


@torch.inference_mode()
def test_rows_are_the_names_subwords(adapter: ContextualAdapter) -> None:
    keys = adapter.embed(names([5, 6], [7], [8, 9, 10]))
    assert keys.entity.tolist() == [0, 0, 1, 2, 2, 2]
    assert keys.position.tolist() == [0, 1, 0, 0, 1, 2]
    assert keys.keys.shape == (2, 6, 4)


@torch.inference_mode()
def test_attention_is_a_distribution(adapter: ContextualAdapter) -> None:
    states, taps = speech()
    output = adapter(states, taps, adapter.embed(names([5, 6], [7])))
    assert output.attention.shape == (2, 5, 4)
    torch.testing.assert_close(output.attention.sum(-1), torch.ones(2, 5))
    assert not torch.allclose(output.states, states)


@torch.inference_mode()
def test_no_allowed_name_changes_nothing(adapter: ContextualAdapter) -> None:
    states, taps = speech()
    keys = adapter.embed(names([5, 6], [7]))
    allowed = torch.tensor([[False, False, False], [True, True, False]])
    output = adapter(states, taps, keys, allowed)
    assert torch.equal(output.states[0], states[0])
    alone = adapter(states[1:], tuple(t[1:] for t in taps), adapter.embed(names([5, 6])))
    torch.testing.assert_close(output.states[1:], alone.states, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_lists_of_their_own_equal_each_list_alone(adapter: ContextualAdapter) -> None:
    states, taps = speech(batch=3)
    lists = [adapter.embed(names([5, 6], [7])), adapter.no_keys(), adapter.embed(names([8]))]
    keys, allowed = EntityKeys.stack(lists)
    assert allowed.tolist() == [[True] * 3, [False] * 3, [True, False, False]]
    output = adapter(states, taps, keys, allowed)
    assert torch.equal(output.states[1], states[1])
    for i in (0, 2):
        alone = adapter(states[i : i + 1], tuple(t[i : i + 1] for t in taps), lists[i])
        torch.testing.assert_close(output.states[i : i + 1], alone.states, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_all_attention_on_no_bias_changes_nothing(adapter: ContextualAdapter) -> None:
    adapter.no_bias_score.fill_(1e4)
    states, taps = speech()
    output = adapter(states, taps, adapter.embed(names([5, 6], [7])))
    torch.testing.assert_close(output.states, states, atol=1e-5, rtol=0)


def test_a_new_adapter_changes_nothing_yet(tiny_config: ModelConfig) -> None:
    new = ContextualAdapter(CONFIG, tiny_config.encoder, tiny_config.tokens)
    states, taps = speech()
    assert torch.equal(new(states, taps, new.embed(names([5], [6]))).states, states)


@torch.inference_mode()
def test_order_of_names_does_not_matter(adapter: ContextualAdapter) -> None:
    states, taps = speech()
    rows = [[5, 6], [7], [8, 9, 10]]
    first = adapter(states, taps, adapter.embed(names(*rows)))
    second = adapter(states, taps, adapter.embed(names(*reversed(rows))))
    torch.testing.assert_close(first.states, second.states, atol=1e-5, rtol=0)


def test_learns_to_look_at_the_name_that_is_spoken(tiny_config: ModelConfig) -> None:
    torch.manual_seed(0)
    adapter = ContextualAdapter(CONFIG, tiny_config.encoder, tiny_config.tokens)
    optimiser = torch.optim.Adam(adapter.parameters(), lr=0.01)
    sounds = torch.randn(80, 16)

    def share_right() -> torch.Tensor:
        rows = [torch.randint(2, 80, (3,)).tolist() for _ in range(6)]
        states = torch.stack([sounds[rows[i]] for i in range(6)])
        keys = adapter.embed(names(*rows))
        attention = adapter(states, (states, states), keys).attention
        wanted = 1 + torch.arange(18).view(6, 3)
        return attention.gather(2, wanted[:, :, None]).mean()

    before = share_right().item()
    for _ in range(400):
        optimiser.zero_grad()
        (-share_right().log()).backward()
        optimiser.step()
    assert before < 0.2
    assert share_right().item() > 0.5
