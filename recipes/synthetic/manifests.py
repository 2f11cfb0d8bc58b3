"""lhotse CutSets, entity lists, LM text and statistics of what was spoken."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import soundfile

from ctcbias_fst.errors import ConfigError, MissingDependencyError

from .names import NamePools, allowed_in_training, require, split_of
from .settings import Settings
from .synthesis import Planned, read_clips, read_plan
from .texts import Corpus, Templates, TextMaker

__all__ = ["write_cuts", "write_lines", "write_lists", "write_lm_text"]

LIBRIVOX = Path("/usr/share/pocketsphinx/test/data/librivox")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(path.suffix + ".tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.writelines(f"{line}\n" for line in lines)
    temporary.replace(path)


def _cut(
    identity: str, path: Path, *, rate: int, samples: int, text: str, custom: Mapping[str, Any]
) -> Any:
    lhotse = require("lhotse", "lhotse")
    audio = require("lhotse.audio", "lhotse")
    seconds = samples / rate
    recording = lhotse.Recording(
        id=identity,
        sources=[audio.AudioSource(type="file", channels=[0], source=str(path))],
        sampling_rate=rate,
        num_samples=samples,
        duration=seconds,
    )
    supervision = lhotse.SupervisionSegment(
        id=identity,
        recording_id=identity,
        start=0.0,
        duration=seconds,
        channel=0,
        text=text,
        language="en",
        speaker=str(custom["voice"]),
        custom=custom,
    )
    return lhotse.MonoCut(
        id=identity,
        start=0.0,
        duration=seconds,
        channel=0,
        recording=recording,
        supervisions=[supervision],
    )


def _voice_name(voice: Mapping[str, float]) -> str:
    return "+".join(name if w == 1 else f"{name}*{w}" for name, w in sorted(voice.items()))


def _planned_cut(planned: Planned, clip: Any, out: Path, rate: int) -> Any:
    custom = {
        "entities": list(planned.entities),
        "domain": planned.domain,
        "engine": "kokoro" if planned.engine == "ready" else planned.engine,
        "voice": _voice_name(planned.voice),
        "speed": planned.speed,
        "warp": planned.warp,
        "phones": clip.phones,
    }
    path = (out / clip.path).resolve()
    return _cut(
        planned.id, path, rate=rate, samples=clip.num_samples, text=planned.text, custom=custom
    )


def _librivox() -> list[Any]:
    if not LIBRIVOX.is_dir():
        raise MissingDependencyError(
            f"{LIBRIVOX} is missing: install the system package pocketsphinx-testdata "
            "(see recipes/synthetic/apt-packages.txt)"
        )
    cuts = []
    for line in (LIBRIVOX / "transcription").read_text().splitlines():
        text, name = line.replace("<s>", "").rsplit("</s>", 1)
        identity = name.strip().strip("()")
        path = LIBRIVOX / f"{identity}.wav"
        info = soundfile.info(path)
        custom = {
            "entities": [],
            "domain": "general",
            "engine": "librivox",
            "voice": "librivox",
            "phones": "",
        }
        cuts.append(
            _cut(
                identity,
                path,
                rate=info.samplerate,
                samples=info.frames,
                text=" ".join(text.split()),
                custom=custom,
            )
        )
    return cuts


def write_cuts(out: Path, settings: Settings, only: Collection[str] | None = None) -> None:
    """Write ``cuts_*.jsonl.gz`` of all clips that are done so far, and ``stats.json``.

    Args:
        out: output folder.
        settings: of the recipe.
        only: names of CutSets (``"train_real"``); the files of others stay as they are.
    """
    lhotse = require("lhotse", "lhotse")
    by_set: dict[str, list[Any]] = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    entities: dict[str, set[str]] = defaultdict(set)
    for path in sorted((out / "plan").glob("*.jsonl")):
        clips = read_clips(out / "done" / path.name)
        for planned in read_plan(path):
            clip = clips.get(planned.id)
            if clip is None or clip.digest != planned.digest:
                continue
            by_set[planned.cuts].append(_planned_cut(planned, clip, out, settings.audio.rate))
            for key in (planned.cuts, f"{planned.cuts}/{planned.engine}/{planned.domain}"):
                seconds[key] += clip.num_samples / settings.audio.rate
                counts[key] += 1
                entities[key].update(planned.entities)
    if only is None or "test_librivox" in only:
        by_set["test_librivox"] = _librivox()
    for name, cuts in by_set.items():
        if only is not None and name not in only:
            continue
        if name.startswith("train"):  # any prefix is a fair mix
            random.Random(settings.seed).shuffle(cuts)
        target = out / f"cuts_{name}.jsonl.gz"
        temporary = out / f"cuts_{name}.tmp.jsonl.gz"
        lhotse.CutSet.from_cuts(cuts).to_file(temporary)
        temporary.replace(target)
    stats = {
        key: {
            "utterances": counts[key],
            "hours": round(seconds[key] / 3600, 3),
            "names": len(entities[key]),
        }
        for key in sorted(counts)
    }
    write_lines(out / "stats.json", [json.dumps(stats, indent=2)])


def write_lists(out: Path, names: NamePools, settings: Settings) -> None:
    """Write the entity lists of dev and test, with distractors, and the names trained on.

    ``lists/<domain>.<split>.txt`` holds the names spoken; ``<domain>.<split>.<n>.txt``
    those and ``n`` other names of the same kinds, none of which is spoken in that split.
    """
    spoken: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path in sorted((out / "plan").glob("*.jsonl")):
        for planned in read_plan(path):
            if planned.domain != "general":
                spoken[planned.domain, planned.split].update(planned.entities)
    for (domain, split), true in sorted(spoken.items()):
        folder = out / "lists"
        write_lines(folder / f"{domain}.{split}.txt", sorted(true))
        same = [found for (_, which), found in spoken.items() if which == split]
        everywhere = set().union(*same)
        for size in settings.lists.sizes:
            rng = random.Random(f"{settings.seed}/lists/{domain}/{split}/{size}")
            others = distractors(domain, split, spoken=everywhere, count=size, names=names, rng=rng)
            write_lines(folder / f"{domain}.{split}.{size}.txt", sorted(true | set(others)))


def distractors(
    domain: str,
    split: str,
    *,
    spoken: set[str],
    count: int,
    names: NamePools,
    rng: random.Random,
) -> list[str]:
    """``count`` names of a domain that are not spoken in ``split``.

    In parliament a third are full names. Names for train hold no word kept for dev or test.

    Raises:
        ConfigError: the pools have fewer names than ``count``.
    """
    pool = names.pool[domain]
    if split == "train":
        pool = tuple(n for n in pool if split_of(n, names.rare_zipf) == "train")
    words = {word for name in spoken for word in name.split()}
    # A distractor that is a word of a spoken name would be right by half when it is found.
    free = [n for n in pool if n not in spoken and not (len(n.split()) == 1 and n in words)]
    if len(free) < count:
        raise ConfigError(f"only {len(free)} distractors for {domain} in {split}, {count} wanted")
    chosen = rng.sample(free, count)
    if domain == "parliament":
        surnames = [n for n in chosen if " " not in n]
        full = {n: f"{rng.choice(names.firsts)} {n}" for n in surnames[: len(chosen) // 3]}
        chosen = [full.get(n, n) for n in chosen]
    return chosen


def write_lm_text(
    out: Path,
    *,
    corpus: Corpus,
    templates: Templates,
    names: NamePools,
    settings: Settings,
    plans: Mapping[str, Sequence[Planned]],
) -> None:
    """Write ``text/<domain>.txt``: training text only, one sentence a line.

    General text is every training sentence; the other domains are what is spoken in
    training and fresh expansions of the training templates.
    """
    train = [p for key, plan in plans.items() if key.startswith("train.") for p in plan]
    general = {line.text for line in _all_general(corpus, templates, names, settings)}
    general.update(p.text for p in train if p.domain == "general")
    _write_allowed(out / "text" / "general.txt", general, settings)
    maker = TextMaker(
        "train",
        corpus=corpus,
        templates=templates,
        names=names,
        settings=settings,
        phrases=True,
    )
    for domain in ("medical", "parliament"):
        rng = random.Random(f"{settings.seed}/lm/{domain}")
        lines = {p.text for p in train if p.domain == domain}
        lines.update(maker.line(domain, rng).text for _ in range(settings.text.lm_template_lines))
        _write_allowed(out / "text" / f"{domain}.txt", lines, settings)


def _all_general(
    corpus: Corpus, templates: Templates, names: NamePools, settings: Settings
) -> Iterable[Any]:
    maker = TextMaker(
        "train",
        corpus=corpus,
        templates=templates,
        names=names,
        settings=settings,
        phrases=False,
    )
    rng = random.Random(f"{settings.seed}/lm/general")
    for _ in corpus.sentences["train"]:
        yield maker.line("general", rng)


def _write_allowed(path: Path, lines: Iterable[str], settings: Settings) -> None:
    kept = sorted(line for line in lines if allowed_in_training(line, settings.text.rare_zipf))
    random.Random(settings.seed).shuffle(kept)
    write_lines(path, kept)
