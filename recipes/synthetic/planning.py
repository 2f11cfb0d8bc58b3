"""The plan: who says what, decided before anything is spoken."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from ctcbias_fst.errors import ManifestError

from .names import NamePools, allowed_in_training, rare_words
from .settings import DOMAINS, Settings, Voices
from .synthesis import Planned
from .texts import Corpus, Line, Templates, TextMaker, normalise

__all__ = ["plan_all", "plan_extra"]

Blend = dict[str, float]


def _speed(limits: tuple[float, float], rng: random.Random) -> float:
    return round(rng.uniform(*limits), 3)


def blend(voices: tuple[str, ...], rng: random.Random) -> Blend:
    """A new speaker: a weighted mean of two or three voices."""
    chosen = rng.sample(voices, rng.choice((2, 2, 3)))
    weights = [rng.uniform(0.5, 1.5) for _ in chosen]
    rounded = {name: round(w / sum(weights), 2) for name, w in zip(chosen, weights)}
    rounded[chosen[0]] = round(1.0 - sum(rounded[name] for name in chosen[1:]), 2)
    return rounded


def _voice(engine: str, split: str, settings: Settings, rng: random.Random) -> Blend:
    voices = settings.voices
    if engine == "kokoro":
        if split == "train" and rng.random() < settings.train.blend_share:
            return blend(voices.kokoro_train, rng)
        return {rng.choice(voices.kokoro_train): 1.0}
    names = {"flite": voices.flite, "festival": voices.festival}
    return {rng.choice(names.get(engine, ("heart",))): 1.0}


def _warp(engine: str, split: str, voices: Voices, rng: random.Random) -> float:
    limits = {"hibari": voices.hibari_warp, "flite": voices.warp, "festival": voices.warp}
    return _speed(limits[engine], rng) if engine in limits else 1.0


def _planned(
    number: int,
    line: Line,
    *,
    cuts: str,
    split: str,
    domain: str,
    engine: str,
    voice: Blend,
    speed: float,
    warp: float = 1.0,
) -> Planned:
    return Planned(
        id=f"{split}-{engine}-{number:06d}",
        cuts=cuts,
        split=split,
        domain=domain,
        engine=engine,
        voice=voice,
        speed=speed,
        warp=warp,
        spoken=line.spoken,
        text=line.text,
        entities=line.entities,
    )


def _train(engine: str, hours: float, maker: TextMaker, settings: Settings) -> Iterator[Planned]:
    rng = random.Random(f"{settings.seed}/train/{engine}")
    mix = settings.mix
    weights = (mix.general, mix.medical, mix.parliament)
    seconds, number = 0.0, 0
    while seconds < hours * 3600:
        domain = rng.choices(DOMAINS, weights)[0]
        line = maker.line(domain, rng)
        speed = _speed(settings.voices.train_speed, rng)
        warp = _warp(engine, "train", settings.voices, rng)
        voice = _voice(engine, "train", settings, rng)
        yield _planned(
            number,
            line,
            cuts="train",
            split="train",
            domain=domain,
            engine=engine,
            voice=voice,
            speed=speed,
            warp=warp,
        )
        seconds += len(line.spoken) / settings.text.chars_per_second / speed
        number += 1


def _dev(maker: TextMaker, settings: Settings, seen: Iterable[Blend]) -> Iterator[Planned]:
    rng = random.Random(f"{settings.seed}/dev")
    known = {tuple(sorted(voice)) for voice in seen}
    blends: list[Blend] = []
    while len(blends) < settings.dev.kokoro_blends:
        new = blend(settings.voices.kokoro_train, rng)
        if tuple(sorted(new)) not in known:
            blends.append(new)
    numbers = dict.fromkeys(("kokoro", "hibari", "flite", "festival"), 0)
    for domain in DOMAINS:
        others = settings.dev.other_per_domain // 3
        engines = ["kokoro"] * settings.dev.kokoro_per_domain
        engines += [name for name in ("hibari", "flite", "festival") for _ in range(others)]
        for index, engine in enumerate(engines):
            line = maker.line(domain, rng)
            voice = _voice(engine, "dev", settings, rng)
            if engine == "kokoro":
                voice = blends[index % len(blends)]
            yield _planned(
                numbers[engine],
                line,
                cuts=f"dev_{domain}",
                split="dev",
                domain=domain,
                engine=engine,
                voice=voice,
                speed=_speed(settings.voices.test_speed, rng),
            )
            numbers[engine] += 1


def _test(maker: TextMaker, settings: Settings) -> Iterator[Planned]:
    rng = random.Random(f"{settings.seed}/test")
    voices = settings.voices.kokoro_test
    counts = {"kokoro": settings.test.kokoro_per_domain, "piper": settings.test.piper_per_domain}
    for engine, count in counts.items():
        number = 0
        for domain in DOMAINS:
            for index in range(count):
                line = maker.line(domain, rng)
                voice = {voices[index % len(voices)] if engine == "kokoro" else "joe": 1.0}
                yield _planned(
                    number,
                    line,
                    cuts=f"test_{domain}_{engine}",
                    split="test",
                    domain=domain,
                    engine=engine,
                    voice=voice,
                    speed=_speed(settings.voices.test_speed, rng),
                )
                number += 1


def plan_extra(folder: Path, settings: Settings) -> list[Planned]:
    """Ready-made speech as a plan: the utterances of ``manifest.jsonl`` that may be trained on.

    Raises:
        ManifestError: there is no manifest, or a row of it lacks a field.
    """
    path = folder / "manifest.jsonl"
    if not path.is_file():
        raise ManifestError(f"{path} is missing: --extra wants a folder with a manifest.jsonl")
    plan = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            text, voice = normalise(row["text"]), dict(row["voice"])
            held = set(voice) & set(settings.voices.kokoro_test)
            if held or not allowed_in_training(text, settings.text.rare_zipf):
                continue
            entities = tuple(n for n in row["entities"] if rare_words(n, settings.text.rare_zipf))
            plan.append(
                Planned(
                    id=f"train-extra-{number - 1:06d}",
                    cuts="train",
                    split="train",
                    domain=row["domain"],
                    engine="ready",
                    voice=voice,
                    speed=float(row["speed"]),
                    warp=1.0,
                    spoken=row["text"],
                    text=text,
                    entities=entities,
                    source=str((folder / row["path"]).resolve()),
                    ipa=row["phonemes"],
                )
            )
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ManifestError(f"{path}:{number}: bad row: {error!r}") from error
    return plan


def plan_all(
    corpus: Corpus,
    templates: Templates,
    names: NamePools,
    settings: Settings,
    extra: list[Planned],
) -> dict[str, list[Planned]]:
    """Every utterance by ``<split>.<engine>``, in the order in which it is best spoken."""
    train = TextMaker(
        "train",
        corpus=corpus,
        templates=templates,
        names=names,
        settings=settings,
        phrases=True,
    )
    hours = settings.train
    plans: dict[str, list[Planned]] = {"train.ready": extra} if extra else {}
    for engine, wanted in (
        ("hibari", hours.hibari),
        ("flite", hours.flite),
        ("festival", hours.festival),
        ("kokoro", hours.kokoro if extra else hours.kokoro_alone),
    ):
        plans[f"train.{engine}"] = list(_train(engine, wanted, train, settings))
    seen = [p.voice for key in ("train.kokoro", "train.ready") for p in plans.get(key, [])]
    dev = TextMaker(
        "dev",
        corpus=corpus,
        templates=templates,
        names=names,
        settings=settings,
        phrases=False,
    )
    test = TextMaker(
        "test",
        corpus=corpus,
        templates=templates,
        names=names,
        settings=settings,
        phrases=False,
    )
    held = [*_dev(dev, settings, [dict(v) for v in seen]), *_test(test, settings)]
    for planned in held:
        plans.setdefault(f"{planned.split}.{planned.engine}", []).append(planned)
    return plans
