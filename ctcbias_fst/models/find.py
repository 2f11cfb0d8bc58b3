"""What kind of model is at a path: told by its content, and loaded."""

from __future__ import annotations

import os
import re
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ctcbias_fst.devices import checked_device
from ctcbias_fst.errors import ConfigError, ModelError
from ctcbias_fst.files import digest_of, sha256_of
from ctcbias_fst.models.adapted import check_adapter_path
from ctcbias_fst.models.embedded import AcousticModel
from ctcbias_fst.models.hugging_face_files import folder_of
from ctcbias_fst.models.onnx_files import folders_of, model_file, models_in
from ctcbias_fst.models.package import DEFAULT, PACKAGED
from ctcbias_fst.models.plug import SpeechModel
from ctcbias_fst.models.scored import ScoredModel
from ctcbias_fst.text.text_files import quoted
from ctcbias_fst.text.tokens import SentencePieceTokenizer, Tokenizer
from ctcbias_fst.variants.phone_models import NO_LEXICON, NO_WORDS, why_no_streams, with_lexicon

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
"""What may be a name on the Hugging Face hub."""
_FAMILIES = {"onnx": "onnx_model", "hf": "hugging_face", "hama": "hama_model"}
"""Modules of models that need an extra, loaded when used. They have ``load(path, device,
language)``, of Hugging Face ``adapter``, too, and may have ``load_tokenizer(path, language)``."""
_OURS = {"model.safetensors", "tokenizer.model"}
_WEIGHTS = re.compile(
    r"model.*\.safetensors|pytorch_model.*\.bin|.*\.(safetensors|bin)\.index\.json"
)
"""Of a model of Hugging Face, in one file or in several."""

_BELONGS = re.compile(
    r".*\.(onnx|onnx_data|data|weights?|safetensors|bin|model)"
    r"|.*\.index\.json|.*(config|tokens|tokenizer|vocab|units|tokens_map|merges)\.(json|txt)",
    re.IGNORECASE,
)
"""Files beside each other that are a model's, and not somebody's notes or transcripts."""
_OTHERS = {
    ".nemo": "an archive of NeMo",
    ".pt": "weights of torch",
    ".pth": "weights of torch",
    ".ckpt": "a checkpoint",
    ".bin": "weights",
    ".safetensors": "weights",
    ".tflite": "a model of TensorFlow Lite",
    ".gguf": "a model of ggml",
    ".zip": "an archive",
}
_NO_STATES = {
    "onnx": "an ONNX file does not give the states of its layers",
    "hama": "hama is an ONNX file, which does not give the states of its layers",
}
_YOUR_MODEL = "or pass a function that makes log-probs (docs/your-model.md)"


def load_model(
    path: str | os.PathLike[str] | None = None,
    device: torch.device | str = "cpu",
    *,
    language: str | None = None,
    adapter: str | os.PathLike[str] | None = None,
    lexicon: Any = None,
) -> SpeechModel:
    """Load the model at a path, whatever its family.

    Args:
        path: a model directory of ours, a folder of Hugging Face, an ONNX file or a folder with
            one, a name on the Hugging Face hub, or ``hama``; by default the model inside the
            package.
        device: where to compute.
        language: of a model that has parts for several languages.
        adapter: the file of a contextual adapter of ``ctcbias adapt``, or its folder; by default
            the one in the model's folder, if there is one.
        lexicon: words and their phones, of a model whose tokens are phones: a path, a mapping, or
            ``english`` (:func:`ctcbias_fst.variants.phone_models.with_lexicon`); ``none`` if phones
            are wanted.

    Raises:
        ModelError: it is none of these, or damaged; the adapter is, or is of another model; or the
            model has phones and there is no lexicon, or the other way round.
        InputError: the lexicon cannot be read, or is of other phones.
        MissingDependencyError: its family needs a package that is not installed.
        ConfigError: there is no such device.
    """
    checked_device(device)
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise ModelError(f"{quoted(path)} is no path of a model")
    if adapter is not None:
        check_adapter_path(adapter)
    kind = "ours" if path is None else kind_of(Path(path))
    if kind == "ours":
        check_one_language(language)
        if adapter is not None:
            raise ModelError(
                f"{os.fspath(adapter)}: the adapter of a model of ours lies in its folder, where "
                "ctcbias export puts it: leave it out"
            )
        ours = AcousticModel.load(None if path is None else Path(path), device)
        with_lexicon(ours.tokenizer, lexicon, _named(path))
        return ours
    assert path is not None
    if kind in _NO_STATES and adapter is not None:
        raise ModelError(
            f"{os.fspath(adapter)}: {os.fspath(path)} can have no adapter, as {_NO_STATES[kind]}: "
            "leave it out"
        )
    family = import_module(f"ctcbias_fst.models.{_FAMILIES[kind]}")
    options = {"adapter": adapter} if kind == "hf" else {}
    model: ScoredModel = family.load(path, device, language, **options)
    return model.with_tokenizer(with_lexicon(model.tokenizer, lexicon, _named(path)))


def load_as_it_is(
    path: str | os.PathLike[str] | None,
    device: torch.device | str = "cpu",
    *,
    language: str | None = None,
    adapter: str | os.PathLike[str] | None = None,
) -> SpeechModel:
    """The same, where no lexicon is wanted though its tokens may be phones."""
    own = path is not None and kind_of(Path(path)) in PACKAGED
    lexicon = None if own else NO_LEXICON
    return load_model(path, device, language=language, adapter=adapter, lexicon=lexicon)


def load_for_streams(
    path: str | os.PathLike[str] | None = None,
    device: torch.device | str = "cpu",
    *,
    language: str | None = None,
    adapter: str | os.PathLike[str] | None = None,
    lexicon: Any = None,
) -> SpeechModel:
    """Load a model whose streams write words, or phones if these are wanted; see `load_model`.

    Others are refused before their weights are read, where a family can tell its tokens without.

    Args:
        path, device, language, adapter: as `load_model` takes them.
        lexicon: ``none`` if the phones of a model are wanted.

    Raises:
        ConfigError: its words are written through a lexicon, or would be.
        ModelError: as of `load_model`, and InputError and MissingDependencyError, too.
    """
    checked_device(device)
    known = isinstance(path, (str, os.PathLike)) and kind_of(Path(path)) in PACKAGED
    if known and lexicon is None:
        raise ConfigError(NO_WORDS)
    alone = None if known else _tokenizer_alone(path, language)
    if alone is not None:
        _require_streams(with_lexicon(alone, lexicon or NO_LEXICON, _named(path)), lexicon)
    own = NO_LEXICON if lexicon is None and not known else lexicon
    model = load_model(path, device, language=language, adapter=adapter, lexicon=own)
    _require_streams(model.tokenizer, lexicon)
    return model


def _require_streams(tokenizer: Tokenizer, lexicon: Any) -> None:
    why = why_no_streams(tokenizer, lexicon)
    if why is not None:
        raise ConfigError(why)


def why_no_adapter(path: str | os.PathLike[str] | None) -> str | None:
    """Why the model at a path can have no contextual adapter; None if one can be trained."""
    return None if path is None else _NO_STATES.get(kind_of(Path(path)))


def load_tokenizer(
    path: str | os.PathLike[str] | None = None,
    *,
    language: str | None = None,
    lexicon: Any = None,
) -> Tokenizer:
    """The tokenizer of the model at a path, and with it what its columns are; see `load_model`.

    The weights are not read, where a family can do without.
    """
    return with_lexicon(_own_tokenizer(path, language), lexicon, _named(path))


def _own_tokenizer(path: str | os.PathLike[str] | None, language: str | None) -> Tokenizer:
    alone = _tokenizer_alone(path, language)
    if alone is not None:
        return alone
    assert path is not None
    family = import_module(f"ctcbias_fst.models.{_FAMILIES[kind_of(Path(path))]}")
    model: SpeechModel = family.load(path, "cpu", language)
    return model.tokenizer


def _tokenizer_alone(path: str | os.PathLike[str] | None, language: str | None) -> Tokenizer | None:
    """The tokenizer, if it can be had without reading the weights."""
    kind = "ours" if path is None else kind_of(Path(path))
    if kind == "ours":
        check_one_language(language)
        return SentencePieceTokenizer((DEFAULT if path is None else Path(path)) / "tokenizer.model")
    assert path is not None
    family = import_module(f"ctcbias_fst.models.{_FAMILIES[kind]}")
    if not hasattr(family, "load_tokenizer"):
        return None
    alone: Tokenizer = family.load_tokenizer(path, language)
    return alone


def _named(path: str | os.PathLike[str] | None) -> str:
    return "the model inside the package" if path is None else os.fspath(path)


def languages_of(path: Path | None) -> tuple[str, ...]:
    """The languages that the model at a path has parts for; none if it is of one."""
    if path is None or kind_of(path) != "hf":
        return ()
    from ctcbias_fst.models.hugging_face_tokens import languages_of as listed  # noqa: PLC0415

    return tuple(sorted(listed(folder_of(path))))


def check_one_language(language: str | None) -> None:
    """Refuse a language where the model has one only.

    Raises:
        ModelError: one is named.
    """
    if language is not None:
        raise ModelError("language belongs to models of several languages; this is of one")


def identity_of(path: Path | None) -> str:
    """A digest that tells the model at a path from others, for jobs that go on where they ended.

    Of a model of ours, its header, which has the digests of the rest; of a package, its version; of
    other families the place, and sizes and times of the files that belong to it.

    Raises:
        ModelError: it is none, or a name on the hub, and neither cached nor to be had.
    """
    kind = "ours" if path is None else kind_of(path)
    if path is None or kind == "ours":
        return sha256_of((path or DEFAULT) / "model.json")
    if kind in PACKAGED:
        return digest_of([kind, version(kind)])
    place, files = _files_of(path, kind)
    known = [
        [os.path.relpath(one, place.parent), one.stat().st_size, one.stat().st_mtime_ns]
        for one in sorted(files)
    ]
    return digest_of([str(place), known])


def _files_of(path: Path, kind: str) -> tuple[Path, list[Path]]:
    """Where a model is, links and all that is relative followed, and the files that belong to it:
    those of other ONNX models in the same folder do not."""
    if kind == "hf":
        place = folder_of(path).resolve()
        return place, [one for one in place.iterdir() if _belongs(one)]
    file = model_file(path)
    place = file.parent.resolve() / file.name  # the file itself may be a link into a cache
    beside = [one for folder in folders_of(place) for one in folder.iterdir() if _belongs(one)]
    others = [one for one in beside if ".onnx" in one.name.lower()]
    own = [one for one in others if one.name.startswith(place.name)]
    return place, [one for one in beside if one not in others or one in own]


def _belongs(path: Path) -> bool:
    return _BELONGS.fullmatch(path.name) is not None and path.is_file()


def kind_of(path: Path) -> str:
    """``ours``, ``hf`` (a folder of Hugging Face, or a name on its hub), ``onnx``, or the name of a
    model that is a package.

    Raises:
        ModelError: it is none of these; the message says what it is, and what to do.
    """
    try:
        return _kind_of(path)
    except OSError as error:  # a name that is too long, a folder of somebody else's
        raise ModelError(f"{quoted(str(path))}: cannot be read ({error.strerror})") from error


def _kind_of(path: Path) -> str:
    if path.is_dir():
        return _kind_of_folder(path)
    if path.exists():
        if path.suffix.lower() == ".onnx":
            return "onnx"
        what = _OTHERS.get(path.suffix.lower(), "a file of another kind")
        raise ModelError(
            f"{path}: is {what}; name a model folder, export the model as ONNX, {_YOUR_MODEL}"
        )
    if str(path) in PACKAGED:
        return str(path)
    named = HUB_NAME.fullmatch(str(path)) and path.parts[0] != ".."
    if not named or path.suffix.lower() in {".onnx", *_OTHERS} or Path(path.parts[0]).exists():
        raise ModelError(f"{path}: no such file or folder")
    return "hf"


def _kind_of_folder(path: Path) -> str:
    names = {one.name for one in path.iterdir()}
    if "model.json" in names:
        return "ours"
    if models_in(path) and not any(map(_WEIGHTS.fullmatch, names)):
        return "onnx"
    if "config.json" in names:
        return "hf"
    if names & _OURS:
        return "ours"  # a part of it, as the loader will say
    found = f"it has {quoted(min(names))}" if names else "it is empty"
    raise ModelError(
        f"{path}: is no model folder ({found}): a model of ours has model.json, one of Hugging "
        f"Face config.json and weights, one of ONNX a .onnx file; export it as one of these, "
        f"{_YOUR_MODEL}"
    )
