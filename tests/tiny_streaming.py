"""ONNX models that keep states, of a few numbers: nets of torch with the interfaces that icefall,
NeMo and WeNet export for streams, and what each gives of all features at once.

Each net has random weights, and takes any number of frames: chunk by chunk with the states that it
gave, or all of them with those of the beginning. As it looks back no further than its states do,
both must give the same. Tests that import this are skipped where the extra is not installed.
"""

from __future__ import annotations

import inspect
import math
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tiny_onnx import onnx, write_tokens
from torch import Tensor, nn

from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.text.vocabulary import Vocabulary

Array = npt.NDArray[np.float32]

TOKENS = ["<blk>", "|", *"abcdefgh"]
BLANK_LAST = [*"abcdefgh", "\u2581a", "<blk>"]
SIZE = 12
LEFT = 8
BINS = 80


def _attention(queries: Tensor, keys: Tensor, values: Tensor, allowed: Tensor) -> Tensor:
    """``(N, T, D)`` queries over ``(N, S, D)`` keys, where ``(N, T, S)`` allows it."""
    scores = queries @ keys.transpose(1, 2) / 4.0
    return scores.masked_fill(~allowed, -1e4).softmax(dim=-1) @ values


def _looks_back(frames: int, left: int, known: Tensor) -> Tensor:
    """Which of ``left`` kept frames and ``frames`` new ones each new one sees: itself and ``left``
    before, but none of those kept that are not ``known`` ``(N,)`` yet; ``(N, T, S)``."""
    rows, columns = torch.arange(frames)[:, None], torch.arange(left + frames)[None]
    near = (columns >= rows) & (columns <= rows + left)
    return near[None] & (columns >= left - known[:, None])[:, None]


class Zipformer(nn.Module):
    """As icefall exports zipformer2 with a CTC head: frames of 10 ms to rows of 40 ms, 13 frames
    seen to the right. One layer."""

    SHAPES: Mapping[str, tuple[int, ...]] = {
        "cached_key_0": (LEFT, 1, SIZE),
        "cached_nonlin_attn_0": (1, 1, LEFT, 3 * SIZE // 4),
        "cached_val1_0": (LEFT, 1, SIZE),
        "cached_val2_0": (LEFT, 1, SIZE),
        "cached_conv1_0": (1, SIZE, 7),
        "cached_conv2_0": (1, SIZE, 7),
        "embed_states": (1, 128, 3, 19),
        "processed_lens": (1,),
    }

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = nn.Linear(BINS, SIZE), nn.Linear(BINS, SIZE)
        self.embed = nn.Conv1d(SIZE, SIZE, 4)
        self.key, self.val1, self.val2 = (nn.Linear(SIZE, SIZE) for _ in range(3))
        self.gate = nn.Linear(SIZE, 3 * SIZE // 4)
        self.mix = nn.Linear(3 * SIZE // 4, SIZE)
        self.conv1, self.conv2 = (nn.Conv1d(SIZE, SIZE, 8, groups=SIZE) for _ in range(2))
        self.head = nn.Linear(SIZE, len(TOKENS))

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        key, gate, val1, val2, conv1, conv2, embed, seen = states
        wide = torch.tanh(self.near(x[:, 6:-6:2][:, : (x.shape[1] - 13) // 2]))
        wide = (wide + torch.tanh(self.far(x[:, 12::2][:, : (x.shape[1] - 13) // 2]))).transpose(
            1, 2
        )
        frames = wide.shape[2]
        wide = torch.cat([embed[:, :SIZE, :, 0], wide], dim=2)
        next_embed = nn.functional.pad(wide[:, :, -3:, None], (0, 18, 0, 0, 0, 128 - SIZE))
        hidden = self.embed(wide).transpose(1, 2)
        allowed = _looks_back(frames, LEFT, seen.clamp(max=LEFT))
        keys = torch.cat([key, self.key(hidden).transpose(0, 1)])
        first = torch.cat([val1, self.val1(hidden).transpose(0, 1)])
        hidden = hidden + _attention(
            hidden, *(one.transpose(0, 1) for one in (keys, first)), allowed
        )
        gates = torch.cat([gate[0], self.gate(hidden)], dim=1)
        even = allowed / allowed.sum(dim=-1, keepdim=True)
        hidden = hidden + self.mix(even @ gates)
        second = torch.cat([val2, self.val2(hidden).transpose(0, 1)])
        hidden = hidden + even @ second.transpose(0, 1)
        wide1 = torch.cat([conv1, hidden.transpose(1, 2)], dim=2)
        wide2 = torch.cat([conv2, self.conv1(wide1)], dim=2)
        hidden = hidden + self.conv2(wide2).transpose(1, 2)
        rows = self.head(hidden[:, 1::2] * 3).log_softmax(dim=-1)
        kept = (keys[-LEFT:], gates[None, :, -LEFT:], first[-LEFT:], second[-LEFT:])
        convolved = (wide1[:, :, -7:], wide2[:, :, -7:])
        return (rows, *kept, *convolved, next_embed, seen + frames)


class FastConformer(nn.Module):
    """As NeMo exports cache-aware FastConformer with a CTC head: 8 frames of 10 ms to a row, the
    first two rows of each window dropped, as they lack what is before them. One layer."""

    SHAPES: Mapping[str, tuple[int, ...]] = {
        "cache_last_channel": (1, 1, LEFT, SIZE),
        "cache_last_time": (1, 1, SIZE, 4),
        "cache_last_channel_len": (1,),
    }

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(BINS, SIZE)
        self.halves = nn.ModuleList(nn.Conv1d(SIZE, SIZE, 3, stride=2) for _ in range(3))
        self.value = nn.Linear(SIZE, SIZE)
        self.conv = nn.Conv1d(SIZE, SIZE, 5, groups=SIZE)
        self.head = nn.Linear(SIZE, len(BLANK_LAST))

    def forward(self, audio: Tensor, length: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        channel, time, known = states
        inside = torch.arange(audio.shape[2])[None] < length[:, None]
        hidden = self.into((audio * inside[:, None]).transpose(1, 2)).transpose(1, 2)
        for half in self.halves:
            hidden = torch.tanh(half(nn.functional.pad(hidden, (2, 1))) * 2)
        hidden = hidden.transpose(1, 2)[:, 2:]
        frames = hidden.shape[1]
        wide = torch.cat([channel[:, 0], hidden], dim=1)
        allowed = _looks_back(frames, LEFT, known)
        hidden = hidden + _attention(hidden, wide, self.value(wide), allowed)
        long = torch.cat([time[:, 0], hidden.transpose(1, 2)], dim=2)
        hidden = hidden + self.conv(long).transpose(1, 2)
        rows = self.head(hidden * 3).log_softmax(dim=-1)
        counts = torch.full_like(length, frames)
        following = (wide[:, None, -LEFT:], long[:, None, :, -4:], (known + frames).clamp(max=LEFT))
        return (rows, counts, *following)


class Wenet(nn.Module):
    """As sherpa-onnx exports WeNet's encoder for chunks: 4 frames of 10 ms to a row, 6 seen to the
    right, all of a chunk and of so many before. One layer."""

    HEADS, KERNEL = 2, 4

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Conv1d(BINS, SIZE, 7, stride=4)
        self.key, self.value = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, SIZE)
        self.conv = nn.Conv1d(SIZE, SIZE, self.KERNEL, groups=SIZE)
        self.place = nn.Linear(1, SIZE)
        self.head = nn.Linear(SIZE, len(TOKENS))

    def forward(self, x: Tensor, *told: Tensor) -> tuple[Tensor, ...]:
        offset, kept, attention, time, mask = told
        hidden = torch.tanh(self.into(x.transpose(1, 2) / 10)).transpose(1, 2)
        frames = hidden.shape[1]
        places = (offset - kept + torch.arange(frames)).float()[:, None]
        hidden = hidden + torch.sin(self.place(places))  # where it is counts
        both = torch.cat([self.key(hidden), self.value(hidden)], dim=2)
        both = both.view(1, frames, self.HEADS, -1).transpose(1, 2)
        wide = torch.cat([attention[0][None], both], dim=2)
        keys, values = wide.transpose(1, 2).flatten(2).chunk(2, dim=2)
        seen = mask.expand(1, frames, mask.shape[2])
        hidden = hidden + _attention(hidden, keys, values, seen)
        long = torch.cat([time[0], hidden.transpose(1, 2)], dim=2)
        hidden = hidden + self.conv(long).transpose(1, 2)
        rows = self.head(hidden * 3).log_softmax(dim=-1)
        return rows, wide[:, :, frames:], long[None, :, :, 1 - self.KERNEL :]

    def whole(self, x: Tensor, chunk: int, left: int) -> Tensor:
        """The rows of all features at once, with WeNet's mask of chunks."""
        rows = (x.shape[1] - 7) // 4 + 1
        at = torch.arange(rows) // chunk
        hidden = torch.tanh(self.into(x.transpose(1, 2) / 10)).transpose(1, 2)
        hidden = hidden + torch.sin(self.place(torch.arange(rows).float()[:, None]))
        seen = (at[None] <= at[:, None]) & (at[None] >= at[:, None] - left)
        both = torch.cat([self.key(hidden), self.value(hidden)], dim=2)
        keys, values = both.view(1, rows, self.HEADS, -1).flatten(2).chunk(2, dim=2)
        hidden = hidden + _attention(hidden, keys, values, seen[None])
        long = nn.functional.pad(hidden.transpose(1, 2), (self.KERNEL - 1, 0))
        return self.head((hidden + self.conv(long).transpose(1, 2)) * 3).log_softmax(dim=-1)


def seeded(kind: type[nn.Module]) -> Any:
    """A net of this kind; always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return kind().eval()


def _export(
    net: nn.Module,
    given: Sequence[Tensor],
    path: Path,
    ports: tuple[Sequence[str], Sequence[str], Mapping[str, Mapping[int, str]]],
    metadata: Mapping[str, Any],
) -> None:
    """Write a model of these inputs and outputs, with their axes of any size."""
    inputs, outputs, axes = ports
    old = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that the exporter cannot infer
        torch.onnx.export(
            net,
            tuple(given),
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(of) for name, of in axes.items()},
            opset_version=13,
            **old,
        )
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {key: str(value) for key, value in metadata.items()})
    onnx.save(model, str(path))


def zeros(shapes: Mapping[str, tuple[int, ...]]) -> list[Tensor]:
    """States of the beginning."""
    whole = ("processed_lens", "cache_last_channel_len")
    kinds = {name: torch.int64 if name in whole else torch.float32 for name in shapes}
    return [torch.zeros(shape, dtype=kinds[name]) for name, shape in shapes.items()]


class Known(nn.Module):
    """A zipformer that knows one stream: it gives the rows of its place, whatever it hears.

    Args:
        rows: ``(frame, token)``.
        loud: a step that hears something louder than this gives NaN.
    """

    def __init__(self, rows: Tensor, loud: float) -> None:
        super().__init__()
        self.rows, self.loud = nn.Parameter(rows), loud

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        frames = (x.shape[1] - 13) // 2
        at = states[-1][:, None] // 2 + torch.arange(frames // 2)[None]
        rows = self.rows[at.clamp(max=len(self.rows) - 1)]
        wrong = (x.amax(dim=2).amax(dim=1) > self.loud)[:, None, None]
        rows = rows.masked_fill(wrong, float("nan")) + 0 * sum(one.sum() for one in states)
        return (rows, *(one + 0 for one in states[:-1]), states[-1] + frames)


def zipformer(
    folder: Path,
    *,
    net: nn.Module | None = None,
    tokens: Sequence[str] = TOKENS,
    chunk: int = 16,
    batch: bool = True,
    without: Sequence[str] = (),
    **more: Any,
) -> None:
    """Write a model of icefall.

    Args:
        net: `Zipformer` by default.
        tokens: of it.
        chunk: frames of 20 ms that it goes on by.
        batch: whether it takes several streams.
        without: what its metadata lacks.
        more: what else its metadata has.
    """
    shapes = Zipformer.SHAPES
    axis = {name: 1 if shape[0] != 1 or name == "cached_nonlin_attn_0" else 0
            for name, shape in shapes.items()}  # fmt: skip
    following = [f"new_{name}" for name in shapes]
    axes = {"x": {0: "N"}, "log_probs": {0: "N"}}
    for name in shapes:
        axes[name] = axes[f"new_{name}"] = {axis[name]: "N"}
    metadata = {
        "model_type": "zipformer2",
        "version": 1,
        "model_author": "k2-fsa",
        "decode_chunk_len": 2 * chunk,
        "T": 2 * chunk + 13,
        "num_encoder_layers": 1,
        "encoder_dims": SIZE,
        "left_context_len": LEFT,
        **more,
    }
    _export(
        net or seeded(Zipformer),
        [torch.randn(1, 2 * chunk + 13, BINS), *zeros(shapes)],
        folder / "model.onnx",
        (["x", *shapes], ["log_probs", *following], axes if batch else {}),
        {key: value for key, value in metadata.items() if key not in without},
    )
    write_tokens(folder / "tokens.txt", tokens)


def nemo(folder: Path, *, shift: int = 16, without: Sequence[str] = (), **more: Any) -> None:
    """Write a cache-aware model of NeMo with the metadata of sherpa-onnx."""
    shapes = FastConformer.SHAPES
    inputs = ["audio_signal", "length", *shapes]
    outputs = ["logprobs", "encoded_lengths"]
    outputs += ["cache_last_channel_next", "cache_last_time_next", "cache_last_channel_next_len"]
    axes: dict[str, dict[int, str]] = {name: {0: "B"} for name in [*inputs, *outputs]}
    axes["audio_signal"][2] = axes["logprobs"][1] = "T"
    channel, time = shapes["cache_last_channel"], shapes["cache_last_time"]
    metadata = {
        "model_type": "EncDecHybridRNNTCTCBPEModel",
        "vocab_size": len(BLANK_LAST) - 1,
        "window_size": 9 + shift,
        "chunk_shift": shift,
        "normalize_type": "",
        **{f"cache_last_channel_dim{i}": channel[i] for i in (1, 2, 3)},
        **{f"cache_last_time_dim{i}": time[i] for i in (1, 2, 3)},
        "subsampling_factor": 8,
        **more,
    }
    given = [torch.randn(1, BINS, 9 + shift), torch.tensor([9 + shift]), *zeros(shapes)]
    _export(
        seeded(FastConformer),
        given,
        folder / "model.onnx",
        (inputs, outputs, axes),
        {key: value for key, value in metadata.items() if key not in without},
    )
    write_tokens(folder / "tokens.txt", BLANK_LAST)


def wenet(
    folder: Path, *, chunk: int = 8, left: int = 2, without: Sequence[str] = (), **more: Any
) -> None:
    """Write a model of WeNet as sherpa-onnx does."""
    kept = chunk * left
    given = [
        torch.randn(1, (chunk - 1) * 4 + 7, BINS),
        torch.tensor([kept]),
        torch.tensor([kept]),
        torch.zeros(1, Wenet.HEADS, kept, SIZE // Wenet.HEADS * 2),
        torch.zeros(1, 1, SIZE, Wenet.KERNEL - 1),
        torch.ones(1, 1, kept + chunk, dtype=torch.bool),
    ]
    inputs = ["x", "offset", "required_cache_size", "attn_cache", "conv_cache", "attn_mask"]
    metadata = {
        "model_type": "wenet_ctc",
        "comment": "streaming",
        "chunk_size": chunk,
        "left_chunks": left,
        "head": Wenet.HEADS,
        "num_blocks": 1,
        "output_size": SIZE,
        "cnn_module_kernel": Wenet.KERNEL,
        "right_context": 6,
        "subsampling_factor": 4,
        "vocab_size": len(TOKENS),
        **more,
    }
    _export(
        seeded(Wenet),
        given,
        folder / "model.onnx",
        (
            inputs,
            ["log_probs", "next_att_cache", "next_conv_cache"],
            {"attn_cache": {2: "T"}, "attn_mask": {2: "S"}},
        ),
        {key: value for key, value in metadata.items() if key not in without},
    )
    write_tokens(folder / "tokens.txt", TOKENS)


def known(
    folder: Path,
    rows: Array,
    vocabulary: Vocabulary,
    *,
    late: int = 0,
    loud: float = math.inf,
) -> None:
    """Write a model of icefall that knows one stream: it gives ``rows`` ``(frame, token)``, so many
    frames ``late``, and NaN in steps with features over ``loud``."""
    blank = np.full((late + 1, vocabulary.size), math.log(1e-6 / vocabulary.size), np.float32)
    blank[:, vocabulary.blank_id] = math.log1p(-1e-6)
    whole = torch.from_numpy(np.concatenate([blank[:late], rows, blank]))
    folder.mkdir(exist_ok=True)
    zipformer(folder, net=Known(whole, loud), tokens=vocabulary.tokens)
    shutil.copyfile(DEFAULT / "tokenizer.model", folder / "bpe.model")
