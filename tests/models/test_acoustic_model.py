"""The encoder: shapes, and that neither padding nor company changes an utterance."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ctcbias_fst.models.acoustic_model import CtcModel
from ctcbias_fst.models.layers import Subsampling
from ctcbias_fst.models.model_config import EncoderConfig, ModelConfig


@pytest.fixture(params=[(0, 0), (2, 3), (2, 2)], ids=["full", "half", "one"])
def config(request: pytest.FixtureRequest, tiny_config: ModelConfig) -> ModelConfig:
    """With and without layers at half the frame rate, taps inside and outside of them."""
    return replace(tiny_config, encoder=replace(tiny_config.encoder, half_rate=request.param))


@pytest.fixture
def model(config: ModelConfig) -> CtcModel:
    torch.manual_seed(0)
    made = CtcModel(config).eval()
    if made.rate is not None:
        torch.nn.init.normal_(made.rate.pair)
    return made


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("frames", [1, 2, 7, 8, 9, 33])
def test_subsampling_rounds_up(factor: int, frames: int) -> None:
    config = EncoderConfig(subsampling=factor, subsampling_channels=2, width=8, heads=2)
    states, lengths = Subsampling(config)(torch.randn(1, frames, 80), torch.tensor([frames]))
    assert lengths.tolist() == [-(-frames // factor)]
    assert states.shape == (1, int(lengths), 8)


@torch.inference_mode()
def test_every_head_is_a_distribution(model: CtcModel) -> None:
    output = model(torch.randn(2, 40, 80), torch.tensor([40, 23]))
    assert output.log_probs.shape == (2, 10, 80)
    assert output.phone_log_probs.shape == (2, 10, 40)
    assert len(output.tap_log_probs) == len(output.tap_states) == 2
    for log_probs in (output.log_probs, output.phone_log_probs, *output.tap_log_probs):
        torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(2, 10))
    assert output.lengths.tolist() == [10, 6]


@torch.inference_mode()
@pytest.mark.parametrize("frames", [5, 16, 37])
def test_an_utterance_comes_out_of_a_batch_as_alone(model: CtcModel, frames: int) -> None:
    features = torch.randn(1, frames, 80)
    batch = torch.zeros(3, 64, 80)
    batch[1, :frames] = features
    batch[[0, 2]] = torch.randn(2, 64, 80)
    lengths = torch.tensor([64, frames, 50])
    alone = model(features, torch.tensor([frames]))
    among = model(model.normalise(batch, lengths), lengths)
    size = int(alone.lengths)
    torch.testing.assert_close(among.log_probs[1, :size], alone.log_probs[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        among.phone_log_probs[1, :size], alone.phone_log_probs[0], atol=1e-5, rtol=0
    )


@torch.inference_mode()
@pytest.mark.parametrize("half_rate", [(0, 0), (2, 3), (2, 2), (3, 3)])
def test_phones_are_heard_without_the_layers_above(
    tiny_config: ModelConfig, half_rate: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    model = CtcModel(
        replace(tiny_config, encoder=replace(tiny_config.encoder, half_rate=half_rate))
    )
    features, lengths = torch.randn(2, 64, 80), torch.tensor([64, 37])
    expected = model.eval()(features, lengths)
    for block in model.blocks[model.config.encoder.phone_tap :]:
        block.register_forward_pre_hook(lambda *_: pytest.fail("a layer above is run"))
    found = model.heard_phones(features, lengths)
    assert torch.equal(found.phone_log_probs, expected.phone_log_probs)
    assert torch.equal(found.lengths, expected.lengths)
    assert len(found.tap_log_probs) == 1
    assert torch.equal(found.tap_log_probs[0], expected.tap_log_probs[0])


@torch.inference_mode()
def test_normalisation_leaves_padding_zero(model: CtcModel) -> None:
    model.feature_mean.fill_(3.0)
    model.feature_scale.fill_(0.5)
    scaled = model.normalise(torch.ones(2, 6, 80), torch.tensor([6, 2]))
    assert torch.all(scaled[0] == -1.0)
    assert torch.all(scaled[1, :2] == -1.0)
    assert torch.all(scaled[1, 2:] == 0.0)


@torch.inference_mode()
def test_outputs_are_what_they_were(tiny_config: ModelConfig) -> None:
    """Weights and features by formula, log-probs as the code of version 0.1 gave them."""
    model = CtcModel(replace(tiny_config, encoder=replace(tiny_config.encoder, half_rate=(2, 3))))
    for place, weight in enumerate(model.parameters()):
        waves = torch.arange(weight.numel(), dtype=torch.float64) * (0.7 + place / 50)
        weight.copy_(0.5 * waves.sin().view(weight.shape))
    features = (torch.arange(2 * 40 * 80, dtype=torch.float64) * 0.37).cos().view(2, 40, 80)
    lengths = torch.tensor([40, 21])
    output = model.eval()(model.normalise(features.float(), lengths), lengths)
    cells = [[0, 4, 5, 1], [0, 7, 39, 20]]
    subwords = [[-3.9944, -7.4897, -7.4824, -3.2767], [-3.9967, -7.4586, -7.4474, -3.2765]]
    phones = [[-2.6277, -6.0567, -6.8821, -2.9897], [-2.6295, -5.1723, -6.0685, -3.3287]]
    for log_probs, expected in ((output.log_probs, subwords), (output.phone_log_probs, phones)):
        found = log_probs[:, cells[0], cells[1]]
        torch.testing.assert_close(found, torch.tensor(expected), atol=2e-4, rtol=0)


def test_stochastic_depth_acts_in_training_only(model: CtcModel) -> None:
    features, lengths = torch.randn(8, 40, 80), torch.full((8,), 40)
    with torch.inference_mode():
        torch.testing.assert_close(
            model(features, lengths).log_probs, model(features, lengths).log_probs
        )
        model.train()
        first, second = (model(features, lengths).log_probs for _ in range(2))
    assert not torch.allclose(first, second)


def test_every_weight_is_trained(model: CtcModel) -> None:
    output = model(torch.randn(2, 40, 80), torch.tensor([40, 40]))
    (output.log_probs.square().sum() + output.phone_log_probs.square().sum()).backward()
    still = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert still == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 30, "heads": 4}, "must split into 4 heads"),
        ({"kernel": 4}, "must be odd"),
        ({"layers": 5}, "must lie within 1..5"),
        ({"subword_taps": (12, 6)}, "must increase"),
        ({"half_rate": (1, 5)}, "within 2..13"),
        ({"half_rate": (6, 4)}, "within 2..13"),
        ({"subword_taps": (6, 14)}, "leave it out"),
    ],
)
def test_impossible_architectures(changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EncoderConfig(**changes)
