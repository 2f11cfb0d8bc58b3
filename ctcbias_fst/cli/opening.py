"""What commands open alike: a recogniser of a model, with a list of names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ctcbias_fst.cli import options, phones

if TYPE_CHECKING:
    from ctcbias_fst.compiled import CompiledEntities
    from ctcbias_fst.models.plug import SpeechModel
    from ctcbias_fst.recognizer import Recognizer


class Opened(NamedTuple):
    """A recogniser, and the list of names that is listened for, if there is one."""

    recognizer: Recognizer
    names: CompiledEntities | None


def opened(
    load: Callable[..., SpeechModel],
    model: Path | None,
    settings: options.SettingsOptions,
    listening: phones.PhonesOptions,
    entities: Path | None,
    *,
    device: str,
    language: str | None,
    adapter: Path | None,
    lexicon: Path | str | None,
    longest: Callable[[], float | None] = lambda: None,
) -> Opened:
    """Open a recogniser; small files are read before the model is, so that their faults are told.

    Args:
        load: loads the model.
        model: its path.
        settings: of the command line.
        listening: who hears phones.
        entities: the list of names.
        device, language, adapter, lexicon: for ``load``.
        longest: seconds of the longest recording, if it is known; asked where there are names.
    """
    from ctcbias_fst.recognizer import Recognizer  # noqa: PLC0415
    from ctcbias_fst.text.entities import read_entities  # noqa: PLC0415

    config = settings.load(model)
    listed = None if entities is None else read_entities(entities)
    loaded = load(model, device, language=language, adapter=adapter, lexicon=lexicon)
    recognizer = Recognizer(loaded, config, phones=listening.listener(language))
    recognizer.decoder.warn_of_idle(settings.parts or "")
    if listed is None:
        return Opened(recognizer, None)
    names = recognizer.compile(listed, longest(), warn=False)
    for line in names.entities.report():
        options.warn(line)
    return Opened(recognizer, names)
