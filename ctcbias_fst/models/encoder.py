"""The encoder: strided convolutions, then Conformer blocks with rotary attention.

Conformer: Gulati et al., Interspeech 2020. Rotary embedding: Su et al., 2021. There is no
batch normalisation and every convolution sees zeros behind an utterance's end, so that an
utterance comes out of a batch as it comes out alone.

The same weights see either the whole utterance or chunks of it (dynamic chunk training: Zhang et
al. 2020, arXiv 2012.05481). A frame then attends to its chunk and to so many frames before it, and
a convolution sees zeros behind the chunk as it does behind an utterance's end (dynamic chunk
convolution: Li et al., ICASSP 2023). :meth:`ConformerBlock.step` is the same for a chunk alone,
with what came before it in a cache.

Weights that have not seen chunks in training want to hear something of what is behind them: a step
can be given frames that come again with the next one. What is kept of the frames before these has
then seen them, so that a stream costs as much as what it is given, not as the past as well.
"""

from __future__ import annotations

from torch import Tensor, nn

from ctcbias_fst.models.layers import (
    BranchDrop,
    ConvolutionModule,
    FeedForward,
    Norm,
    SelfAttention,
)
from ctcbias_fst.models.masks import BlockCache
from ctcbias_fst.models.model_config import EncoderConfig


class ConformerBlock(nn.Module):
    """Half feed-forward, attention, convolution, half feed-forward, norm."""

    def __init__(self, config: EncoderConfig, layer: int) -> None:
        super().__init__()
        width = config.width
        self.before = FeedForward(width, config.feedforward)
        self.attention = SelfAttention(width, config.heads)
        self.convolution = ConvolutionModule(width, config.kernel)
        self.after = FeedForward(width, config.feedforward)
        self.norm = Norm(width)
        self.drop = BranchDrop(config.branch_drop * layer / config.layers)

    def forward(
        self,
        states: Tensor,
        mask: Tensor,
        tables: tuple[Tensor, Tensor],
        seen: Tensor | None = None,
        chunk: int = 0,
    ) -> Tensor:
        """``(batch, frame, width)`` to the same.

        Args:
            mask: as from :func:`padding_mask`.
            tables: as from :func:`rotary_tables`.
            seen: as from :func:`chunk_mask`; ``None``: the whole utterance.
            chunk: frames of a chunk; 0: no chunks.
        """
        states = states + self.drop(0.5 * self.before(states))
        states = states + self.drop(self.attention(states, mask, tables, seen))
        states = states + self.drop(self.convolution(states, mask, chunk))
        states = states + self.drop(0.5 * self.after(states))
        normed: Tensor = self.norm(states)
        return normed

    def start(self, batch: int, left: int) -> BlockCache:
        """The cache before the first chunk of ``batch`` streams that see ``left`` frames back."""
        weight = self.attention.keys.weight
        width, heads = weight.shape[0], self.attention.heads
        reach = self.convolution.depthwise.kernel_size[0] // 2
        return BlockCache(
            keys=weight.new_zeros(batch, heads, left, width // heads),
            values=weight.new_zeros(batch, heads, left, width // heads),
            gated=weight.new_zeros(batch, reach, width),
        )

    def step(
        self,
        states: Tensor,
        mask: Tensor,
        visible: Tensor,
        tables: tuple[Tensor, Tensor],
        cache: BlockCache,
        *,
        final: int,
    ) -> tuple[Tensor, BlockCache]:
        """One chunk of streams, and the cache for the next one.

        Args:
            states: ``(batch, frame, width)``.
            mask: ``(batch, frame)``: what belongs to the streams.
            visible: ``(batch, left + frame)``: the same with the frames of the cache before it.
            tables: for ``left + frame`` positions.
            final: frames that the next chunk is behind; those after them come again with it.
        """
        states = states + 0.5 * self.before(states)
        context, keys, values = self.attention.step(states, visible, tables, cache, final=final)
        states = states + context
        mixed, gated = self.convolution.step(states, mask, cache.gated, final)
        states = states + mixed
        states = states + 0.5 * self.after(states)
        return self.norm(states), BlockCache(keys, values, gated)
