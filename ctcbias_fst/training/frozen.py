"""Models that an adapter is trained on, and that stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ctcbias_fst.errors import CtcbiasError, ModelError, cause_of
from ctcbias_fst.models.encoder_output import EncoderOutput
from ctcbias_fst.models.model_config import AdapterShape
from ctcbias_fst.models.model_identity import digests_of_model
from ctcbias_fst.models.package import Package
from ctcbias_fst.models.tapped import TappedModel
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.training.data import Front

_PUSH = 8.0
"""What full attention adds to the logit of a subword before any training, in nats."""


class FrozenModel(Protocol):
    """What training an adapter needs of a model, whatever its family.

    Attributes:
        tokenizer: of its tokens, the blank first.
        shape: what an adapter sits on.
        device: where it computes.
        identity: what tells it, and the layers that are read, from others; see
            :func:`ctcbias_fst.training.resumption.origin_of`.
        front: what it is given of speech.
        head_weights: of the layer that makes logits of states, ``(token, width)``.
        push: see :meth:`ctcbias_fst.models.adapter.ContextualAdapter.start_from`.
    """

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def shape(self) -> AdapterShape: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def identity(self) -> Mapping[str, Any]: ...
    @property
    def front(self) -> Front: ...
    @property
    def head_weights(self) -> Tensor: ...
    @property
    def push(self) -> float | None: ...

    def hear(self, features: Tensor, lengths: Tensor) -> EncoderOutput:
        """Run the model on a batch, without a gradient.

        Args:
            features, lengths: of a :class:`ctcbias_fst.training.data.Batch`.
        """

    def token_log_probs(self, states: Tensor) -> Tensor:
        """The head: states ``(batch, frame, width)`` to log-probs ``(batch, frame, token)``."""


class FrozenPackage:
    """A model of ours as a `FrozenModel`."""

    push = None

    def __init__(self, package: Package, device: torch.device) -> None:
        self.model = package.model.requires_grad_(False).to(device).eval()
        self.tokenizer: Tokenizer = package.tokenizer
        self.shape, self.device = package.model.config.adapter_shape, device
        self.front = Front.of(package.model.config)
        self.head_weights: Tensor = package.model.subword_head.weight
        self.identity = {"model": digests_of_model(self.model, self.tokenizer.vocabulary)}

    @torch.no_grad()
    def hear(self, features: Tensor, lengths: Tensor) -> EncoderOutput:
        """See `FrozenModel.hear`."""
        return self.model(  # type: ignore[no-any-return]
            self.model.normalise(features.to(self.device), lengths), lengths
        )

    def token_log_probs(self, states: Tensor) -> Tensor:
        """See `FrozenModel.token_log_probs`."""
        return self.model.token_log_probs(states)


class FrozenTapped:
    """A torch model of another family as a `FrozenModel`."""

    push = _PUSH

    def __init__(self, base: TappedModel) -> None:
        self.base = base
        self.tokenizer: Tokenizer = base.tokenizer
        self.shape, self.device = base.shape, base.device
        self.front = Front.of_waves(base.sampling_rate)
        self.head_weights = base.head_weights
        self.identity = {"model": base.digests, "head": base.head, "taps": list(base.taps)}

    def hear(self, features: Tensor, lengths: Tensor) -> EncoderOutput:
        """See `FrozenModel.hear`.

        Raises:
            ModelError: the model fails, or its layers do not run as they did at first.
        """
        least = round(self.base.scorer.shortest_seconds * self.base.sampling_rate)
        features = F.pad(features, (0, max(0, least - features.shape[1])))
        waves = [row[: max(n, least)].numpy() for row, n in zip(features, lengths.tolist())]
        try:
            return self.base.outputs(waves)
        except CtcbiasError:
            raise
        except Exception as error:  # whatever somebody's model raises
            raise ModelError(f"{self.base.scorer.family}: failed: {cause_of(error)}") from error

    def token_log_probs(self, states: Tensor) -> Tensor:
        """See `FrozenModel.token_log_probs`."""
        return self.base.token_log_probs(states)
