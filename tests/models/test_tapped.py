"""Torch models with their states at hand: layers by name, the head again, and what is refused."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from weakref import ref

import numpy as np
import pytest
import torch
from tiny_hugging_face import CHARACTERS, FAMILIES, noise, save
from torch import Tensor, nn

from ctcbias_fst.errors import ModelError
from ctcbias_fst.models.find import load_model
from ctcbias_fst.models.function import function_model
from ctcbias_fst.models.model_identity import is_same_model
from ctcbias_fst.models.scored import tapped
from ctcbias_fst.models.tapped import TappedModel

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning")

TOKENS = [*"abcd", "|", "<blank>"]
HOP = 320


class Net(nn.Module):
    """Three layers at one rate, with a layer at half the rate beside them."""

    def __init__(self, head: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.front = nn.Linear(HOP, 8)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.slow = nn.Linear(8, 8)
        self.unused = nn.Linear(8, 8)
        self.wide = nn.Linear(8, 12)
        self.out = nn.Linear(8, len(TOKENS)) if head is None else head
        self.eval()

    def forward(self, waves: Tensor) -> Tensor:
        frames = waves.shape[1] // HOP
        states = self.front(waves[:, : frames * HOP].reshape(len(waves), frames, HOP))
        for layer in self.layers:
            states = torch.tanh(10.0 * layer(states))
        self.slow(states[:, ::2])
        self.wide(states)
        if isinstance(self.out, nn.Conv1d):
            return self.out(states.transpose(1, 2)).transpose(1, 2)
        logits: Tensor = self.out(states)
        return logits


def base_of(net: Net, head: str | None = None, taps: Sequence[str] = ()) -> TappedModel:
    def log_probs(samples: np.ndarray) -> Tensor:
        with torch.inference_mode():
            return net(torch.from_numpy(samples)[None]).log_softmax(-1)[0]

    model = function_model(log_probs, TOKENS, frame_seconds=0.02)
    return tapped(model, net, head=head, taps=taps)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_of_hugging_face(tmp_path: Path, family: str) -> None:
    """The head scores the states as the model did, batched or not, and its layers are found."""
    model = load_model(save(tmp_path, family, num_hidden_layers=4))
    base = tapped(model)
    waves = [noise(1.3), noise(2.0, seed=1)]
    output = base.outputs(waves)
    assert base.head == "lm_head"
    layers = f"{family.replace('-', '_')}.encoder.layers."
    # SEW has its layers at half the frame rate of its head.
    expected = () if family == "sew" else (f"{layers}0", f"{layers}2")
    assert base.taps == expected
    assert base.shape == (16, len(expected), len(CHARACTERS))
    scored = base.token_log_probs(output.states)
    for i, wave in enumerate(waves):
        (alone,) = model.scorer.scores([wave])
        n = int(output.lengths[i])
        assert n == len(alone)
        torch.testing.assert_close(output.log_probs[i, :n], alone, atol=2e-3, rtol=0)
        torch.testing.assert_close(scored[i, :n], alone, atol=2e-3, rtol=0)
        assert all(tap[i, :n].std() > 0 for tap in output.tap_states)


@pytest.mark.parametrize("head", [None, nn.Conv1d(8, len(TOKENS), 1)])
def test_a_function_and_its_module(head: nn.Module | None) -> None:
    """The blank, the last column of this one, is first for the adapter; a gradient goes through."""
    net = Net(head)
    base = base_of(net)
    assert (base.head, base.taps) == ("out", ("layers.0", "layers.1"))
    assert base.tokenizer.vocabulary.tokens[0] == "<blank>"
    assert base.tokenizer.encode("cab") == [3, 1, 2]
    output = base.outputs([noise(0.5), noise(0.9, seed=1)])
    assert output.lengths.tolist() == [25, 45]
    with torch.no_grad():
        logits = net(torch.from_numpy(noise(0.5))[None])[0]
    right = logits.log_softmax(-1)[:, [5, 0, 1, 2, 3, 4]]
    torch.testing.assert_close(output.log_probs[0, :25], right, atol=1e-5, rtol=0)
    shift = torch.zeros(8, requires_grad=True)
    base.token_log_probs(output.states + shift)[0, 0, 1].backward()
    assert shift.grad is not None
    assert shift.grad.abs().sum() > 0
    weights = base.head_weights[0]
    torch.testing.assert_close(weights, net.out.weight.detach().flatten(1)[5])


def test_what_is_named_is_read() -> None:
    base = base_of(Net(), head="out", taps=["layers.2", "layers.0"])
    assert base.taps == ("layers.2", "layers.0")
    output = base.outputs([noise(0.5)])
    assert not torch.equal(*output.tap_states)


@pytest.mark.parametrize(
    ("head", "taps", "words"),
    [
        ("outt", (), "head: the model has no layer 'outt'; it has"),
        ("layers.0", (), "the output of 'layers.0' is not what the log-probs are made of"),
        (None, ["layer.1"], "taps: the model has no layer 'layer.1'; it has 'layers.1'$"),
        (None, ["slow"], "taps: 'slow' gives .1, 25, 8. where the head takes .1, 50, 8."),
        (None, ["wide"], "taps: 'wide' gives .1, 50, 12. where the head takes .1, 50, 8."),
        (None, ["unused"], "taps: 'unused' does not run"),
    ],
)
def test_layers_that_do_not_fit(head: str | None, taps: list[str], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        base_of(Net(), head, taps)


def test_log_probs_that_are_no_layers_own() -> None:
    net = Net()

    def log_probs(samples: np.ndarray) -> Tensor:
        with torch.inference_mode():
            return (2.0 * net(torch.from_numpy(samples)[None])).log_softmax(-1)[0]

    model = function_model(log_probs, TOKENS, frame_seconds=0.02)
    with pytest.raises(ModelError, match=r"function log_probs: no layer's output is what"):
        tapped(model, net)


def test_a_model_without_states() -> None:
    def log_probs(samples: np.ndarray) -> np.ndarray:
        return np.full((len(samples) // HOP, len(TOKENS)), -np.log(len(TOKENS)))

    model = function_model(log_probs, TOKENS, frame_seconds=0.02)
    with pytest.raises(ModelError, match="function log_probs: an adapter reads the states"):
        tapped(model)
    with pytest.raises(ModelError, match="is no torch.nn.Module"):
        tapped(model, log_probs)  # type: ignore[arg-type]


def test_what_runs_twice_is_told() -> None:
    class Twice(Net):
        def forward(self, waves: Tensor) -> Tensor:
            if waves.shape[1] > 20_000:
                super().forward(waves)
            return super().forward(waves)

    base = base_of(Twice())
    with pytest.raises(ModelError, match="'out' ran for 2 recordings of 1"):
        base.outputs([noise(1.5)])


def test_threads_hear_their_own() -> None:
    """One listens while others score."""
    base = base_of(Net())
    waves = [noise(0.4 + 0.1 * i, seed=i) for i in range(6)]
    expected = [base.outputs([wave]).states for wave in waves]
    found: dict[int, Tensor] = {}

    def work(i: int) -> None:
        for _ in range(10):
            base.scorer.scores([waves[0]])
            found[i] = base.outputs([waves[i]]).states

    threads = [Thread(target=work, args=(i,)) for i in range(len(waves))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, states in enumerate(expected):
        assert torch.equal(found[i], states)


def test_a_copy_listens_too(tmp_path: Path) -> None:
    base = tapped(load_model(save(tmp_path, num_hidden_layers=2)))
    copy = pickle.loads(pickle.dumps(base))
    first, second = base.outputs([noise(1.0)]), copy.outputs([noise(1.0)])
    assert torch.equal(first.states, second.states)
    assert len(second.tap_states) == 1


def test_digests_tell_models_apart(tmp_path: Path) -> None:
    model = load_model(save(tmp_path))
    digests = tapped(model).digests
    again = load_model(tmp_path)
    assert tapped(again).digests == digests
    with torch.no_grad():
        for weight in again.scorer.module.wav2vec2.encoder.layers[0].parameters():
            weight.mul_(1.001)
    assert not is_same_model(tapped(again).digests, digests)


def hooks_of(net: nn.Module) -> int:
    return sum(
        len(hooks)
        for layer in net.modules()
        for hooks in (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks)
    )


def test_nothing_is_left_on_the_users_module() -> None:
    """Hooks are there while it is called; weights want a gradient as they did."""
    net = Net()
    net.front.requires_grad_(False)
    wanted = [weight.requires_grad for weight in net.parameters()]
    bases = [base_of(net) for _ in range(5)]
    assert hooks_of(net) == 0
    inside = []
    net.slow.register_forward_hook(lambda *_: inside.append(hooks_of(net)))
    output = bases[-1].outputs([noise(0.5)])
    assert inside == [1 + 3]
    assert hooks_of(net) == 1
    shift = torch.zeros(8, requires_grad=True)
    bases[0].token_log_probs(output.states + shift)[0, 0, 1].backward()
    assert [weight.requires_grad for weight in net.parameters()] == wanted
    assert all(weight.grad is None for weight in net.parameters())
    assert not any(one.requires_grad for one in (output.log_probs, output.states))
    dropped = ref(bases.pop())
    del output
    gc.collect()
    assert dropped() is None


def test_hooks_go_when_a_model_fails() -> None:
    class Failing(Net):
        def forward(self, waves: Tensor) -> Tensor:
            if waves.shape[1] > 20_000:
                raise ValueError("too long for me")
            return super().forward(waves)

    net = Failing().eval()
    base = base_of(net)
    with pytest.raises(ValueError, match="too long for me"):
        base.outputs([noise(1.5)])
    assert hooks_of(net) == 0
    assert base.outputs([noise(1.0)]).lengths.tolist() == [50]


def test_a_module_in_training_mode_is_told() -> None:
    """It is the user's to say when it is trained: it stays as it is."""
    net = Net().train()
    with pytest.raises(ModelError, match=r"function log_probs: the Net is in training mode: call"):
        base_of(net)
    assert net.training
    base = base_of(net.eval())
    net.layers[1].train()
    with pytest.raises(ModelError, match="layer 'layers.1' is in training mode"):
        base.outputs([noise(0.5)])


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("head", [None, nn.Conv1d(8, len(TOKENS), 1)])
def test_half_precision(head: nn.Module | None, single: bool) -> None:
    """What the model rounds, it rounds; the adapter's part is in single precision."""
    torch.manual_seed(1)
    net = Net(head).bfloat16()

    def log_probs(samples: np.ndarray) -> Tensor:
        with torch.inference_mode():
            logits = net(torch.from_numpy(samples)[None].bfloat16())[0]
            return (logits.float() if single else logits).log_softmax(-1)

    base = tapped(function_model(log_probs, TOKENS, frame_seconds=0.02), net)
    assert (base.head, base.taps) == ("out", ("layers.0", "layers.1"))
    assert base.head_weights.dtype == torch.float32
    output = base.outputs([noise(0.5), noise(0.9, seed=1)])
    kinds = {one.dtype for one in (output.log_probs, output.states, *output.tap_states)}
    assert kinds == {torch.float32}
    shift = torch.zeros(8, requires_grad=True)
    scored = base.token_log_probs(output.states + shift)
    for own, plain, n in zip(scored, output.log_probs, output.lengths):
        torch.testing.assert_close(own[:n], plain[:n], atol=0.1, rtol=0)
    scored[0, 0, 1].backward()
    assert shift.grad is not None
    assert net.out.weight.dtype == torch.bfloat16


def test_autocast_of_the_users() -> None:
    net = Net()

    def log_probs(samples: np.ndarray) -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return net(torch.from_numpy(samples)[None]).log_softmax(-1)[0]

    base = tapped(function_model(log_probs, TOKENS, frame_seconds=0.02), net)
    assert base.head == "out"
    output = base.outputs([noise(0.5)])
    assert output.states.dtype == torch.float32


def test_torchscript_is_told() -> None:
    """Its layers are not called one by one; those of a front end may be of it."""
    net = Net()
    model = base_of(net).scorer
    with pytest.raises(
        ModelError, match="is TorchScript, whose layers cannot be read: pass the mod"
    ):
        TappedModel(model, torch.jit.script(nn.Linear(8, 8)).eval())
    net.front = torch.jit.script(net.front).eval()
    assert base_of(net).head == "out"


def test_a_model_that_cannot_be_called_is_told() -> None:
    class Failing(Net):
        def forward(self, waves: Tensor) -> Tensor:
            raise RuntimeError("not implemented for 'Half'")

    with pytest.raises(ModelError, match="log_probs: failed on noise: .*not implemented for 'Half"):
        base_of(Failing())
