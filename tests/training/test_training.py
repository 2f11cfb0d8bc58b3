"""Training: it learns, resumes to the bit, and says what is wrong with a run."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from lhotse import CutSet, RecordingSet

from ctcbias_fst.cli import main
from ctcbias_fst.config import load_config
from ctcbias_fst.errors import ConfigError, ManifestError, ModelError
from ctcbias_fst.models.acoustic_model import CtcModel
from ctcbias_fst.models.checkpoint import Progress, average_weights, checkpoints, read_tensors
from ctcbias_fst.models.greedy import greedy_tokens
from ctcbias_fst.models.model_config import ModelConfig
from ctcbias_fst.models.package import load_package
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.tokens import SentencePieceTokenizer
from ctcbias_fst.training import loop
from ctcbias_fst.training.data import Batch, Front, SpeechDataset, batches_of_epoch, load_cuts
from ctcbias_fst.training.export import export_run
from ctcbias_fst.training.launch import launch
from ctcbias_fst.training.resumption import read_run_config
from ctcbias_fst.training.train import consistency_loss, ctc_losses, draw_chunks
from ctcbias_fst.training.training_config import AugmentConfig, ChunkConfig, LossConfig, TrainConfig


def tensors(run: Path) -> dict[str, torch.Tensor]:
    return read_tensors(checkpoints(run)[-1] / "model.safetensors")


def test_resumed_run_equals_an_uninterrupted_one(train_config: Path, tmp_path: Path) -> None:
    # branches are dropped at random: without that, both runs must agree to the bit
    settings = ["encoder.branch_drop=0.0"]
    launch(TrainConfig, train_config, tmp_path / "whole", settings=settings)
    begun = [*settings, "steps=2", "optimiser.decay_fraction=0"]
    launch(TrainConfig, train_config, tmp_path / "parts", settings=begun)
    assert [path.name for path in checkpoints(tmp_path / "parts")] == ["step-00000002"]
    launch(TrainConfig, train_config, tmp_path / "parts", settings=settings)
    whole, parts = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name


def test_progress_counts_the_batches_before_a_run_was_resumed(
    monkeypatch: pytest.MonkeyPatch, train_config: Path
) -> None:
    monkeypatch.setattr(loop, "batches_of_epoch", lambda *_, **__: ["a", "b", "c"])
    monkeypatch.setattr(loop, "loader", lambda _, batches, __: batches)
    config: Any = load_config(TrainConfig, train_config)
    nothing: Any = None
    begun = Progress(step=2, epoch=0, batches=2)
    place = loop.Place(torch.device("cpu"))
    stream = loop._stream(config, nothing, nothing, begun, place)
    after = [(batch, one.epoch, one.batches) for batch, one in islice(stream, 3)]
    assert after == [("c", 0, 3), ("a", 1, 1), ("b", 1, 2)]


@pytest.fixture
def listens_to_ctrl_c() -> Iterator[None]:
    """What runs in the background is started deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listens_to_ctrl_c")
def test_ctrl_c_is_not_lost(
    train_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Python has nobody to tell, the next step does; checkpoints stay, and it goes on."""

    class Deleted:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def step(self: Any, batch: Batch, number: int) -> dict[str, float]:
        if number == 3:
            Deleted()
        return before(self, batch, number)

    before, usual = loop._Stepper.step, signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(loop._Stepper, "step", step)
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    command = ["train", "--config", str(train_config), "--run", str(tmp_path / "run")]
    result = CliRunner().invoke(main, [*command, "--set", "steps=9"])
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "Stopped: the same command goes on where it was"
    assert [path.name for path in checkpoints(tmp_path / "run")] == [
        "step-00000002",
        "step-00000004",
    ]
    assert signal.getsignal(signal.SIGINT) is usual
    monkeypatch.undo()
    assert CliRunner().invoke(main, [*command, "--set", "steps=9"]).exit_code == 0


def test_overfits_a_few_clips(train_config: Path, tmp_path: Path) -> None:
    settings = ["steps=60", "save_every=60", "optimiser.peak=0.01", "optimiser.matrix_peak=0.02"]
    settings += ["encoder.branch_drop=0.0", "log_every=60", "encoder.width=32"]
    launch(TrainConfig, train_config, tmp_path / "run", settings=settings)
    events = (tmp_path / "run" / "train.log").read_text()
    losses = [float(x.split()[0]) for x in events.split("  final ")[1:]]
    assert len(losses) == 1
    assert "word_error_rate" in events
    model = CtcModel(load_run_config(tmp_path / "run"))
    model.load_state_dict(tensors(tmp_path / "run"))
    first = batch_of(train_config)
    untrained = CtcModel(load_run_config(tmp_path / "run")).eval()
    with torch.no_grad():
        trained, before = float(loss(model.eval(), first)), float(loss(untrained, first))
    assert trained < 0.7 * before


def load_run_config(run: Path) -> ModelConfig:
    return ModelConfig(encoder=read_run_config(run, TrainConfig).encoder, tokens=80, phones=PHONES)


MODEL = ModelConfig(phones=PHONES)


def batch_of(train_config: Path) -> Batch:
    config = load_config(TrainConfig, train_config)
    dataset = SpeechDataset(SentencePieceTokenizer(config.tokenizer), Front.of(MODEL))
    return dataset[load_cuts(config.train, max_seconds=20.0)]


def loss(model: CtcModel, batch: Batch) -> torch.Tensor:
    output = model(model.normalise(batch.features, batch.lengths), batch.lengths)
    return ctc_losses(output, batch).total(LossConfig())


def test_losses_equal_torchs_one_by_one(train_config: Path, tiny_config: ModelConfig) -> None:
    torch.manual_seed(0)
    model = CtcModel(tiny_config).eval()
    batch = batch_of(train_config)
    assert int(batch.phone_lengths[-1]) == 0
    output = model(model.normalise(batch.features, batch.lengths), batch.lengths)
    losses = ctc_losses(output, batch)
    for name, log_probs, targets, counts in (
        ("final", output.log_probs, batch.tokens, batch.token_lengths),
        ("phone", output.phone_log_probs, batch.phones, batch.phone_lengths),
    ):
        single = []
        for row, length, target in zip(log_probs, output.lengths, targets.split(counts.tolist())):
            if len(target):
                value = torch.nn.functional.ctc_loss(
                    row[: int(length)], target, length, torch.tensor(len(target)), reduction="sum"
                )
                single.append(value / len(target))
        assert getattr(losses, name).item() == pytest.approx(torch.stack(single).mean().item())


def test_export_averages_and_rounds_to_float16(train_config: Path, tmp_path: Path) -> None:
    run, target = tmp_path / "run", tmp_path / "model"
    launch(TrainConfig, train_config, run)
    assert export_run(run, target) == 2
    package = load_package(target)
    mean = average_weights(checkpoints(run))
    for name, tensor in package.model.state_dict().items():
        torch.testing.assert_close(tensor, mean[name], atol=2e-3, rtol=2e-3)


def test_export_mixes_the_first_weights_in(train_config: Path, tmp_path: Path) -> None:
    first, run, target = tmp_path / "first", tmp_path / "run", tmp_path / "model"
    launch(TrainConfig, train_config, first)
    begun = checkpoints(first)[-1] / "model.safetensors"
    launch(TrainConfig, train_config, run, settings=[f"initial={begun}", "seed=5"])
    export_run(run, target, initial_share=0.25)
    before, after = read_tensors(begun), average_weights(checkpoints(run))
    for name, tensor in load_package(target).model.state_dict().items():
        mixed = 0.25 * before[name].float() + 0.75 * after[name]
        torch.testing.assert_close(tensor, mixed, atol=2e-3, rtol=2e-3)
    with pytest.raises(ModelError, match="began with random weights"):
        export_run(first, target, initial_share=0.5)


def test_old_checkpoints_go(train_config: Path, tmp_path: Path) -> None:
    launch(TrainConfig, train_config, tmp_path / "run", settings=["save_every=1"])
    names = [path.name for path in checkpoints(tmp_path / "run")]
    assert names == ["step-00000003", "step-00000004"]


def test_a_manifest_named_twice_weighs_twice(tiny_cuts: Path) -> None:
    once = list(load_cuts([tiny_cuts], max_seconds=20.0))
    twice = list(load_cuts([tiny_cuts, tiny_cuts, tiny_cuts], max_seconds=20.0))
    assert [cut.supervisions[0].text for cut in twice] == 3 * [
        cut.supervisions[0].text for cut in once
    ]
    assert len({cut.id for cut in twice}) == 3 * len(once)
    assert [cut.id for cut in twice[: len(once)]] == [cut.id for cut in once]


def test_unreadable_clip_is_left_out_and_named(
    tiny_cuts: Path, tokenizer: SentencePieceTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    cuts = list(load_cuts([tiny_cuts], max_seconds=20.0))
    cuts[1].recording.sources[0].source = "/nowhere/lost.flac"
    dataset = SpeechDataset(tokenizer, Front.of(MODEL))
    with caplog.at_level(logging.WARNING):
        batch = dataset[CutSet.from_cuts(cuts)]
    assert len(batch.texts) == len(cuts) - 1
    assert "clip1 is left out" in caplog.text
    with pytest.raises(ManifestError, match="none of the 1 recordings"):
        dataset[CutSet.from_cuts(cuts[1:2])]


def test_augmentation_changes_sound_and_keeps_text(
    tiny_cuts: Path, tokenizer: SentencePieceTokenizer, tmp_path: Path
) -> None:
    cuts = load_cuts([tiny_cuts], max_seconds=20.0)
    CutSet.from_cuts(
        recording.to_cut() for recording in [cut.recording for cut in list(cuts)[-1:]]
    ).to_file(tmp_path / "noise.jsonl.gz")
    RecordingSet.from_recordings([next(iter(cuts)).recording]).to_file(tmp_path / "rirs.jsonl.gz")
    augment = AugmentConfig(
        speed=(0.9,), noise=tmp_path / "noise.jsonl.gz", noise_probability=1.0,
        rirs=tmp_path / "rirs.jsonl.gz", rir_probability=1.0, lowpass_probability=1.0,
        volume_probability=1.0,
    )  # fmt: skip
    plain = SpeechDataset(tokenizer, Front.of(MODEL))[cuts]
    changed = SpeechDataset(tokenizer, Front.of(MODEL), augment=augment)[cuts]
    assert changed.texts == plain.texts
    assert torch.equal(changed.tokens, plain.tokens)
    torch.testing.assert_close(
        changed.lengths.float(), plain.lengths.float() / 0.9, atol=1.0, rtol=0.01
    )
    assert torch.isfinite(changed.features).all()


def test_epochs_shuffle_and_ranks_share(tiny_cuts: Path) -> None:
    cuts = load_cuts([tiny_cuts], max_seconds=20.0)

    def names(**options: int) -> list[str]:
        batches = batches_of_epoch(cuts, batch_seconds=4.0, seed=1, **{"epoch": 0, **options})
        return [cut.id for batch in batches for cut in batch]

    assert names() == names()
    assert sorted(names()) == sorted(cut.id for cut in cuts)
    assert len({tuple(names(epoch=epoch)) for epoch in range(8)}) > 1
    shares = [set(names(rank=rank, world_size=2)) for rank in range(2)]
    assert shares[0] | shares[1] == {cut.id for cut in cuts}


def test_greedy_merges_and_drops_blanks() -> None:
    best = torch.tensor([[0, 3, 3, 0, 3, 2, 2, 0], [1, 1, 0, 1, 0, 0, 4, 4]])
    log_probs = torch.nn.functional.one_hot(best, 5).float().log()
    assert greedy_tokens(log_probs, torch.tensor([8, 5])) == [[3, 3, 2], [1, 1]]


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        (["stepz=3"], ConfigError, "unknown key stepz"),
        (["precision=float16"], ConfigError, "needs a GPU"),
        (['train=["nothing.jsonl.gz"]'], ManifestError, "nothing.jsonl.gz"),
        (["max_seconds=0.1"], ManifestError, "no cut with text of at most 0.1 s"),
        (["initial=nothing.safetensors"], ModelError, "no such file"),
    ],
)
def test_what_is_wrong_is_said_before_training(
    train_config: Path, tmp_path: Path, settings: list[str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        launch(TrainConfig, train_config, tmp_path / "run", settings=settings)
    assert checkpoints(tmp_path / "run") == []


def test_another_architecture_cannot_resume(train_config: Path, tmp_path: Path) -> None:
    launch(TrainConfig, train_config, tmp_path / "run", settings=["steps=2"])
    with pytest.raises(ConfigError, match=r"another \[encoder\] table"):
        launch(TrainConfig, train_config, tmp_path / "run", settings=["encoder.width=8"])


def test_no_cuda_is_said(train_config: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ConfigError, match="torch sees no CUDA device"):
        launch(TrainConfig, train_config, tmp_path / "run", device="cuda")


def test_export_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no finished checkpoint"):
        export_run(tmp_path, tmp_path / "model")


@pytest.mark.slow
def test_two_processes(train_config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["train", "--config", str(train_config), "--run", str(run), "--processes", "2"]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 0, result.output
    assert checkpoints(run)[-1].name == "step-00000004"


def test_commands(train_config: Path, tmp_path: Path) -> None:
    run, model = tmp_path / "run", tmp_path / "model"
    runner = CliRunner()
    result = runner.invoke(
        main, ["train", "--config", str(train_config), "--run", str(run), "--set", "steps=2"]
    )
    assert result.exit_code == 0, result.output
    assert "training is complete" in result.output
    result = runner.invoke(main, ["export", "--run", str(run), "--out", str(model)])
    assert result.exit_code == 0, result.output
    assert "mean of 1 checkpoints" in result.output
    assert load_package(model).tokenizer.vocabulary.size == 80


CHUNKED = ["chunks.probability=0.5", "chunks.sizes=[2,4]", "chunks.left=[4]"]


def test_chunks_are_drawn_anew_for_every_step_and_resume(
    train_config: Path, tmp_path: Path
) -> None:
    """Dropped branches and chunks are those of an uninterrupted run, to the bit."""
    settings = [*CHUNKED, "join.share=0.5", "encoder.half_rate=[2,3]", "steps=6"]
    launch(TrainConfig, train_config, tmp_path / "whole", settings=settings)
    begun = [*settings, "steps=2", "optimiser.decay_fraction=0"]
    launch(TrainConfig, train_config, tmp_path / "parts", settings=begun)
    launch(TrainConfig, train_config, tmp_path / "parts", settings=settings)
    whole, parts = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())
    log = (tmp_path / "whole" / "train.log").read_text()
    assert "word_error_rate_in_chunks" in log
    export_run(tmp_path / "whole", tmp_path / "model")
    made = load_package(tmp_path / "model").model.config
    assert (made.chunks, made.left) == ((2, 4), 4)


def test_half_of_the_batches_are_whole() -> None:
    torch.manual_seed(0)
    config = ChunkConfig(probability=0.5, sizes=(8, 16), left=(32, 64))
    drawn = [draw_chunks(config) for _ in range(400)]
    chunks = [one for one in drawn if one is not None]
    assert 160 < len(chunks) < 240
    assert {(one.size, one.left) for one in chunks} == {(8, 32), (8, 64), (16, 32), (16, 64)}
    assert all(draw_chunks(ChunkConfig()) is None for _ in range(50))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("chunks.sizes=[8,7]", "both must be even"),
        ("chunks.left=[63]", "both must be even"),
        ("chunks.sizes=[]", "sizes must be frames"),
        ("chunks.left=[-2]", "left must be numbers of frames"),
        ("chunks.probability=2", "must lie in 0..1"),
    ],
)
def test_chunks_that_do_not_fit_are_said_before_training(
    train_config: Path, tmp_path: Path, setting: str, words: str
) -> None:
    settings = ["chunks.probability=0.5", "encoder.half_rate=[2,3]", setting]
    with pytest.raises(ConfigError, match=words):
        launch(TrainConfig, train_config, tmp_path / "run", settings=settings)


def test_two_views_are_drawn_together(train_config: Path, tmp_path: Path) -> None:
    settings = ["loss.consistency=0.2", "augment.specaugment_probability=1.0"]
    launch(TrainConfig, train_config, tmp_path / "run", settings=settings)
    log = (tmp_path / "run" / "train.log").read_text()
    values = [float(x.split()[0]) for x in log.split("  consistency ")[1:]]
    assert len(values) == 4
    assert min(values) > 0.0


def test_consistency_counts_what_views_do_not_share() -> None:
    torch.manual_seed(0)
    views = torch.randn(4, 5, 3).log_softmax(dim=2).requires_grad_()
    same = torch.cat([views[:2], views[:2]])
    lengths, targets = torch.tensor([5, 3, 5, 3]), torch.tensor([2, 1, 2, 1])
    none = consistency_loss(same, lengths, targets).detach()
    assert float(none) == pytest.approx(0.0, abs=1e-6)
    expected = 0.0
    for row, length, count in ((0, 5, 2), (1, 3, 1)):
        a, b = views[row, :length], views[2 + row, :length]
        both = (a.exp() * (a - b)).sum() + (b.exp() * (b - a)).sum()
        expected += 0.5 * float(both.detach()) / count / 2
    loss = consistency_loss(views, lengths, targets)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert views.grad is not None
    assert float(views.grad[1, 3:].abs().sum()) == 0.0


@pytest.mark.parametrize(
    ("seconds", "told"), [(90, "1.5 min"), (3599, "60.0 min"), (9000, "2.5 h")]
)
def test_little_audio_is_told_in_minutes(seconds: float, told: str) -> None:
    assert loop._length(seconds) == told
