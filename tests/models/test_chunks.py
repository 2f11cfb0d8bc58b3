"""Chunks: nothing behind one is looked at, and caches do what the mask does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ctcbias_fst.errors import ConfigError
from ctcbias_fst.models.acoustic_model import CtcModel, ModelOutput, StreamState
from ctcbias_fst.models.masks import chunk_mask
from ctcbias_fst.models.model_config import Chunks, ModelConfig
from ctcbias_fst.models.package import load_package


@pytest.fixture(params=[(0, 0), (2, 3), (2, 2)], ids=["full", "half", "one"])
def model(request: pytest.FixtureRequest, tiny_config: ModelConfig) -> CtcModel:
    """With and without layers at half rate; a kernel that reaches over a whole chunk."""
    encoder = replace(tiny_config.encoder, half_rate=request.param, kernel=7)
    torch.manual_seed(0)
    made = CtcModel(replace(tiny_config, encoder=encoder)).eval()
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return made


@pytest.fixture(scope="module")
def shipped() -> CtcModel:
    return load_package().model


def everything(output: ModelOutput) -> list[torch.Tensor]:
    return [
        output.log_probs, output.phone_log_probs, output.states, *output.tap_states,
        *output.tap_log_probs,
    ]  # fmt: skip


def streamed(model: CtcModel, features: torch.Tensor, chunks: Chunks) -> list[torch.Tensor]:
    """All outputs of one stream, chunk by chunk."""
    state = model.start_stream(chunks.left, len(features))
    size = chunks.size * model.config.encoder.subsampling
    outputs = []
    for begin in range(0, features.shape[1], size):
        output, state = model.step(features[:, begin : begin + size], state)
        outputs.append(everything(output))
    return [torch.cat(parts, dim=1) for parts in zip(*outputs)]


@pytest.mark.parametrize(
    ("size", "left", "seen"),
    [
        (1, 0, ["1000", "0100", "0010", "0001"]),
        (2, 0, ["1100", "1100", "0011", "0011"]),
        (2, 1, ["1100", "1100", "0111", "0111"]),
        (3, 9, ["1110", "1110", "1110", "1111"]),
    ],
)
def test_what_a_frame_sees(size: int, left: int, seen: list[str]) -> None:
    mask = chunk_mask(4, size, left, torch.device("cpu"))
    assert ["".join(str(int(cell)) for cell in row) for row in mask] == seen


@torch.inference_mode()
@pytest.mark.parametrize("frames", [3, 32, 47, 96, 101])
@pytest.mark.parametrize("chunks", [Chunks(2, 0), Chunks(4, 4), Chunks(8, 16), Chunks(8, 6)])
def test_caches_do_what_the_mask_does(model: CtcModel, frames: int, chunks: Chunks) -> None:
    features = torch.randn(2, frames, 80)
    whole = everything(model(features, torch.tensor([frames, frames]), chunks))
    for expected, found in zip(whole, streamed(model, features, chunks)):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_nothing_behind_a_chunk_is_looked_at(model: CtcModel) -> None:
    chunks, size = Chunks(4, 8), 16
    features = torch.randn(1, 96, 80)
    before = everything(model(features, torch.tensor([96]), chunks))
    for border in range(size, 96, size):
        changed = features.clone()
        changed[:, border:] = 100.0 * torch.randn(1, 96 - border, 80)
        after = everything(model(changed, torch.tensor([96]), chunks))
        shorter = everything(model(features[:, :border], torch.tensor([border]), chunks))
        for one, other, alone in zip(before, after, shorter):
            end = border // 4
            assert torch.equal(one[:, :end], other[:, :end])
            torch.testing.assert_close(alone, one[:, :end], atol=1e-5, rtol=0)
            assert not torch.allclose(one[:, end:], other[:, end:])


@torch.inference_mode()
def test_a_chunk_as_long_as_the_utterance_is_the_whole_context(model: CtcModel) -> None:
    features, lengths = torch.randn(3, 41, 80), torch.tensor([41, 17, 4])
    features = model.normalise(features, lengths)
    full = everything(model(features, lengths))
    chunked = everything(model(features, lengths, Chunks(12, 0)))
    for expected, found in zip(full, chunked):
        for row, count in enumerate([11, 5, 1]):
            torch.testing.assert_close(found[row, :count], expected[row, :count], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_chunks_of_a_batch_are_those_of_each_alone(model: CtcModel) -> None:
    lengths = torch.tensor([64, 37, 50])
    features = model.normalise(torch.randn(3, 64, 80), lengths)
    batch = model(features, lengths, Chunks(4, 8))
    for row, length in enumerate(lengths.tolist()):
        alone = model(features[row : row + 1, :length], torch.tensor([length]), Chunks(4, 8))
        size = int(alone.lengths)
        assert size == int(batch.lengths[row])
        torch.testing.assert_close(
            batch.log_probs[row, :size], alone.log_probs[0], atol=1e-5, rtol=0
        )


@torch.inference_mode()
def test_streams_go_in_step_wherever_each_of_them_is(model: CtcModel) -> None:
    """One has heard a chunk more; one ends while the others go on."""
    first, second, third = torch.randn(1, 64, 80), torch.randn(1, 48, 80), torch.randn(1, 43, 80)
    alone = [streamed(model, features, Chunks(4, 4))[0] for features in (first, second, third)]
    ahead, state = model.step(first[:, :16], model.start_stream(4))
    joined = StreamState.join([state, model.start_stream(4, 2)])
    parts: list[list[torch.Tensor]] = [[ahead.log_probs], [], []]
    for begin in (0, 16):
        chunk = torch.cat([first[:, 16 + begin : 32 + begin], second[:, begin : begin + 16],
                           third[:, begin : begin + 16]])  # fmt: skip
        output, joined = model.step(chunk, joined)
        for part, row in zip(parts, output.log_probs.split(1)):
            part.append(row)
    last = torch.zeros(3, 16, 80)
    last[0], last[1], last[2, :11] = first[0, 48:], second[0, 32:], third[0, 32:]
    output, joined = model.step(last, joined, torch.tensor([16, 16, 11]))
    assert output.lengths.tolist() == [4, 4, 3]
    assert joined.seen.tolist() == [16, 12, -1]
    for part, row, count, expected in zip(parts, output.log_probs.split(1), [4, 4, 3], alone):
        found = torch.cat([*part, row[:, :count]], dim=1)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    with pytest.raises(ConfigError, match="goes on after its end"):
        model.step(last, joined)
    output, _ = model.step(last[:2], joined.select([0, 1]))
    assert output.lengths.tolist() == [4, 4]


@torch.inference_mode()
@pytest.mark.parametrize("frames", [16, 47, 96, 101])
@pytest.mark.parametrize("final", [2, 4, 10])
def test_frames_that_hear_all_that_is_ahead_are_those_of_the_whole(
    model: CtcModel, frames: int, final: int
) -> None:
    features = torch.randn(2, frames, 80)
    whole = everything(model(features, torch.tensor([frames, frames])))
    state, parts = model.start_stream(100, 2), []
    size = final * model.config.encoder.subsampling
    for begin in range(0, frames, size):
        output, state = model.step(features[:, begin:], state, final=final)
        parts.append([one[:, :final] for one in everything(output)])
    for expected, *found in zip(whole, *parts):
        torch.testing.assert_close(torch.cat(found, dim=1), expected, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_what_is_ahead_comes_again(model: CtcModel) -> None:
    """A stream that ends in it has not ended; one that ends before it has."""
    features = torch.randn(3, 32, 80)
    for row, length in enumerate((32, 25, 12)):
        features[row, length:] = 0.0
    first, state = model.step(
        features, model.start_stream(8, 3), torch.tensor([32, 25, 12]), final=4
    )
    assert first.lengths.tolist() == [8, 7, 3]
    assert state.seen.tolist() == [4, 4, -1]
    rest = state.select([0, 1])
    second, last = model.step(features[:2, 16:], rest, torch.tensor([16, 9]), final=4)
    assert second.lengths.tolist() == [4, 3] and last.seen.tolist() == [8, -1]
    other = features.clone()
    other[:, 16:] = 0.0
    alone, known = model.step(other, model.start_stream(8, 3), torch.tensor([16, 16, 12]), final=4)
    assert not torch.equal(alone.log_probs[0, :4], first.log_probs[0, :4])  # it was heard
    assert not torch.equal(known.blocks[-1].keys[0], state.blocks[-1].keys[0])


@torch.inference_mode()
def test_frames_of_half_the_rate_are_given_whole(model: CtcModel) -> None:
    features = torch.randn(1, 32, 80)
    if model.rate is None:
        model.step(features, model.start_stream(8), final=3)
        return
    with pytest.raises(ConfigError, match="3 frames are no whole number"):
        model.step(features, model.start_stream(8), final=3)


@torch.inference_mode()
def test_a_state_stays_as_it_is_and_as_large(model: CtcModel) -> None:
    chunk = torch.randn(1, 16, 80)
    _, state = model.step(chunk, model.start_stream(8))
    first, _ = model.step(chunk, state)
    again, after = model.step(chunk, state)
    assert torch.equal(first.log_probs, again.log_probs)
    for one, other in zip(state.blocks, after.blocks):
        assert one.keys.shape == other.keys.shape
        assert one.gated.shape == other.gated.shape


@torch.inference_mode()
def test_what_comes_out_does_not_depend_on_how_long_a_stream_has_run(model: CtcModel) -> None:
    """Silence of an hour is forgotten: only what is in reach matters, and positions stay small."""
    _, state = model.step(torch.randn(1, 16, 80), model.start_stream(8))
    later = replace(state, seen=state.seen + 1_000_000)
    full = replace(state, seen=state.seen + 8)
    chunk = torch.randn(1, 16, 80)
    assert torch.equal(model.step(chunk, later)[0].log_probs, model.step(chunk, full)[0].log_probs)


def test_every_weight_is_trained_in_chunks(model: CtcModel) -> None:
    output = model(torch.randn(2, 40, 80), torch.tensor([40, 40]), Chunks(4, 4))
    (output.log_probs.square().sum() + output.phone_log_probs.square().sum()).backward()
    still = [
        name
        for name, weight in model.named_parameters()
        if weight.grad is None or not bool(weight.grad.abs().sum() > 0)
    ]
    assert still == []


def test_borders_must_not_cut_a_frame_of_half_the_rate(tiny_config: ModelConfig) -> None:
    model = CtcModel(replace(tiny_config, encoder=replace(tiny_config.encoder, half_rate=(2, 3))))
    for size, left in ((3, 4), (4, 3)):
        with pytest.raises(ConfigError, match="both must be even"):
            model(torch.randn(1, 40, 80), torch.tensor([40]), Chunks(size, left))
    with pytest.raises(ConfigError, match="both must be even"):
        model.start_stream(3)


@torch.inference_mode()
def test_the_shipped_model_in_chunks(shipped: CtcModel) -> None:
    """At its own size, on something with a spectrum: the caches agree with the mask."""
    torch.manual_seed(1)
    features = torch.randn(1, 330, 80).cumsum(dim=1) * 0.1
    chunks = Chunks(16, 32)
    whole = everything(shipped(features, torch.tensor([330]), chunks))
    for expected, found in zip(whole, streamed(shipped, features, chunks)):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
