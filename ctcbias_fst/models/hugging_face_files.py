"""Folders of Hugging Face: whether one is of a CTC model; names on the hub."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ctcbias_fst.errors import CtcbiasError, MissingDependencyError, ModelError
from ctcbias_fst.text.printable import one_line
from ctcbias_fst.text.text_files import parse_json, quoted, read_lines

_SMALL = ("*.json", "*.txt", "*.model", "ctcbias_adapter.safetensors")
"""Files of a model on the hub that are needed beside its weights."""

PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
_TOKENIZERS = ("vocab.json", "tokenizer.json", "vocab.txt", "tokenizer.model", "spiece.model")
_OTHER_KINDS = (
    (("RNNT", "TDT", "Transducer"), "a transducer"),
    (("ConditionalGeneration", "Seq2Seq"), "a sequence-to-sequence model"),
    (("CausalLM", "LMHead", "MaskedLM"), "a language model"),
    (("Classification", "XVector"), "a classifier"),
    (("PreTraining",), "pretrained only"),
)
"""What the name of an architecture tells of a model that is no CTC model."""

_REMEDY = (
    "name a model with a CTC head (…ForCTC), or pass a function that makes log-probs "
    "(docs/your-model.md)"
)


def missing(package: str, where: Path | str) -> MissingDependencyError:
    """The error of a package that a model needs and that is not installed."""
    remedy = "'ctcbias_fst[hf]'" if package == "transformers" else package
    return MissingDependencyError(
        f"{where}: a model of Hugging Face, which needs {package}: pip install {remedy}"
    )


NO_CODE: Mapping[str, bool] = {"local_files_only": True, "trust_remote_code": False}
"""How the library is asked for what is in a folder: nothing is downloaded, and no code that comes
with a model is run, whoever sits at the terminal."""


def unread(folder: Path, what: str, error: Exception) -> ModelError:
    """The error of a part of a model that the library cannot read."""
    if "trust_remote_code" in str(error):
        return ModelError(
            f"{folder}: {what} needs code that comes with the model (auto_map), which is never "
            "run: load it yourself, and pass it as a function (docs/your-model.md)"
        )
    return ModelError(
        f"{folder}: {what} cannot be read ({first_line(error)}): it is damaged, or half "
        "downloaded; download its files again"
    )


def first_line(error: BaseException) -> str:
    """What an exception of a library says, short and in one line."""
    text = one_line(str(error)).strip() or type(error).__name__
    text = " ".join(text.split())
    return text if len(text) <= 200 else f"{text[:200]}…"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep from the user's terminal what transformers tells while a model is loaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers.utils import logging as told  # noqa: PLC0415

        level, bars = told.get_verbosity(), told.is_progress_bar_enabled()
        told.set_verbosity(logging.CRITICAL)
        told.disable_progress_bar()
        try:
            yield
        finally:
            told.set_verbosity(level)
            if bars:
                told.enable_progress_bar()


def folder_of(path: Path, language: str | None = None) -> Path:
    """The folder of a model: itself, or where the hub's own cache has what is named.

    Args:
        path: a folder, or a name on the hub (``owner/model``), which is downloaded if it is not
            cached.
        language: whose adapter is needed, too.

    Raises:
        ModelError: there is no such model, or the hub cannot be reached.
        MissingDependencyError: the hub's library is not installed.
    """
    if path.is_dir():
        return path
    name = path.as_posix()
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415
    except ImportError as error:
        raise missing("transformers", name) from error
    adapters = [f"adapter.{language}.*"] if language else []
    try:
        found = Path(
            snapshot_download(name, allow_patterns=[*_SMALL, *adapters, "model*.safetensors"])
        )
        if (found / "config.json").is_file() and not any(found.glob("model*.safetensors")):
            snapshot_download(name, allow_patterns=["pytorch_model*"])
    except Exception as error:  # of several libraries, in other ones in other versions
        raise ModelError(_not_downloaded(name, error)) from error
    return found


def _not_downloaded(name: str, error: Exception) -> str:
    kind = type(error).__name__
    if kind == "RepositoryNotFoundError":
        return f"{name}: no such folder, and no such model on the Hugging Face hub"
    if kind == "GatedRepoError":
        return f"{name}: its owner wants you to agree to terms on its page, and to log in (hf auth)"
    return (
        f"{name}: no such folder, it is not in the cache of the Hugging Face hub, and the hub "
        f"cannot be reached ({kind}): download it where there is a network, and name its folder"
    )


def read_object(path: Path) -> Mapping[str, Any]:
    """A JSON file that holds an object; an empty one where there is no file.

    Raises:
        ModelError: it is something else.
    """
    if not path.is_file():
        return {}
    try:
        content = parse_json("\n".join(read_lines(path)), str(path), ModelError)  # type: ignore[arg-type]
    except CtcbiasError as error:
        raise ModelError(f"{first_line(error)}; download it again") from None
    if not isinstance(content, Mapping):
        raise ModelError(f"{path}: holds no JSON object; download it again")
    return content


def check_config(folder: Path) -> None:
    """Refuse a folder whose configuration is that of no CTC model.

    Raises:
        ModelError: it is not; the message says what it is.
    """
    import transformers  # noqa: PLC0415
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # noqa: PLC0415
    from transformers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING_NAMES  # noqa: PLC0415

    config = read_object(folder / "config.json")
    kind, heads = config.get("model_type"), config.get("architectures") or []
    head = str(heads[0]) if isinstance(heads, list) and heads else ""
    if not isinstance(kind, str):
        raise ModelError(
            f"{folder}: config.json names no model_type: it is of no model of Hugging Face; "
            f"{_REMEDY}"
        )
    named = next((what for parts, what in _OTHER_KINDS if any(part in head for part in parts)), "")
    if kind in MODEL_FOR_CTC_MAPPING_NAMES and (not head or "CTC" in head):
        return
    if named:
        raise ModelError(f"{folder}: no CTC model: it is {named} ({head}); {_REMEDY}")
    if kind in MODEL_FOR_CTC_MAPPING_NAMES:
        raise ModelError(f"{folder}: no CTC model: {head} has no CTC head; {_REMEDY}")
    if kind in CONFIG_MAPPING_NAMES:
        raise ModelError(f"{folder}: no CTC model: it is a model of the type {kind}; {_REMEDY}")
    own = " (it runs code of its own)" if "auto_map" in config else ""
    raise ModelError(
        f"{folder}: transformers {transformers.__version__} knows no models of the type "
        f"{quoted(kind)}{own}: pip install -U transformers, where torch is new enough for it; or "
        "pass a function that makes log-probs (docs/your-model.md)"
    )


def config_of(folder: Path) -> Any:
    """The configuration of a model, as the library reads it.

    Raises:
        ModelError: it cannot.
    """
    from transformers import AutoConfig  # noqa: PLC0415

    try:
        with quiet():
            return AutoConfig.from_pretrained(str(folder), **NO_CODE)
    except ImportError:
        raise
    except Exception as error:  # whatever a wrong value makes the library raise
        raise unread(folder, "its config.json", error) from error


def check_files(folder: Path) -> None:
    """Refuse a folder that lacks a tokenizer or a preprocessor.

    Raises:
        ModelError: it does; the message says which, and what to do.
    """
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise ModelError(
            f"{folder}: has no tokenizer (vocab.json or tokenizer.json), so nobody knows what its "
            "columns are: put the files of the model's tokenizer there"
        )
    if not any((folder / name).is_file() for name in PREPROCESSORS):
        raise ModelError(
            f"{folder}: has no {PREPROCESSORS[0]}, so nobody knows which sampling rate and "
            "features it wants: put the model's there"
        )


def lm_beside(folder: Path) -> Path | None:
    """The ARPA file of a language model in a model's folder, as exporters put it there."""
    found = sorted(
        one
        for pattern in ("*.arpa", "*.arpa.gz")
        for place in (folder, folder / "language_model")
        for one in place.glob(pattern)
    )
    return found[0] if found else None
