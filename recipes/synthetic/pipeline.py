"""The stages of the recipe, wired together."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import click
from lhotse import CutSet

from ctcbias_fst.config import load_config
from ctcbias_fst.errors import ConfigError, ManifestError
from ctcbias_fst.ngram.ngram_lm import load_lm, perplexity, save_lm
from ctcbias_fst.ngram.train import TrainLmConfig, read_sentences, train_lm

from . import manifests, noise, real
from .engines import fetch_kokoro_voices
from .names import NamePools
from .planning import plan_all, plan_extra
from .rare_lists import write_rare_lists
from .settings import DOMAINS, Settings
from .synthesis import read_clips, read_plan, synthesise, write_plan
from .texts import Corpus, Templates

__all__ = ["run"]

HERE = Path(__file__).resolve().parent
FAST = ("train.ready", "train.hibari", "train.flite", "train.festival")
HELD = ("dev.hibari", "dev.flite", "dev.festival", "test.piper", "dev.kokoro", "test.kokoro")


def run(out: Path, extra: Path | None, jobs: int, stages: Sequence[str], config: Path) -> None:
    """Run ``stages`` in their given order.

    Raises:
        CtcbiasError: of the kind that tells what is missing or wrong.
    """
    settings = load_config(Settings, config)
    out.mkdir(parents=True, exist_ok=True)
    for stage in stages:
        if stage == "texts":
            _texts(out, extra, settings)
        elif stage == "fast":
            _speak(FAST, out, settings, jobs)
            manifests.write_cuts(out, settings)
        elif stage == "noise":
            _noise(out, settings)
        elif stage == "held":
            _speak(HELD, out, settings, jobs)
            manifests.write_cuts(out, settings)
        elif stage == "kokoro":
            _speak(("train.kokoro",), out, settings, jobs)
            manifests.write_cuts(out, settings)
        elif stage == "manifests":
            manifests.write_cuts(out, settings)
        elif stage == "lists":
            _lm_texts(out)
            manifests.write_lists(out, NamePools.load(settings.text.rare_zipf), settings)
            write_rare_lists(out, settings)
        elif stage == "lm":
            _language_model(out, settings)
        elif stage == "real":
            real.plan_real(out, settings, jobs)
            _speak(real.PLANS, out, settings, jobs)
            manifests.write_cuts(out, settings, only=real.CUTS)
            write_rare_lists(out, settings)
        else:
            raise ConfigError(f"unknown stage {stage!r}")


def _texts(out: Path, extra: Path | None, settings: Settings) -> None:
    ready = plan_extra(extra, settings) if extra is not None else []
    corpus = Corpus.load(settings, skip=(planned.text for planned in ready))
    templates = Templates.load(HERE / "templates", settings.text)
    names = NamePools.load(settings.text.rare_zipf)
    plans = plan_all(corpus, templates, names, settings, ready)
    for key, plan in plans.items():
        write_plan(out / "plan" / f"{key}.jsonl", plan)
    manifests.write_lm_text(
        out, corpus=corpus, templates=templates, names=names, settings=settings, plans=plans
    )
    click.echo(json.dumps({key: len(plan) for key, plan in plans.items()}))


def _lm_texts(out: Path) -> list[Path]:
    """Text of each domain, all of which must be there."""
    texts = [out / "text" / f"{domain}.txt" for domain in DOMAINS]
    for path in texts:
        if not path.is_file():
            raise ManifestError(f"{path} is missing: run the stage `texts` first")
    return texts


def _language_model(out: Path, settings: Settings) -> None:
    """Train the word n-gram on ``text/``, and judge it on what dev says."""
    of = settings.lm
    texts = _lm_texts(out)
    config = TrainLmConfig(order=of.order, min_count=of.min_count, prune=of.prune)
    model = train_lm(read_sentences(texts), config)
    save_lm(out / "lm.safetensors", model, "byte")
    model = load_lm(out / "lm.safetensors")
    counts = [len(order.symbol) for order in model.ngram.orders]
    click.echo(f"lm: {counts} n-grams, {(out / 'lm.safetensors').stat().st_size} bytes")
    for domain in DOMAINS:
        cuts = out / f"cuts_dev_{domain}.jsonl.gz"
        if cuts.is_file():
            said = [cut.supervisions[0].text.split() for cut in CutSet.from_file(cuts)]
            found = perplexity(model, said)
            click.echo(
                f"dev {domain}: perplexity {found.with_unknown:.1f} ({found.without_unknown:.1f} "
                f"without unknown words), {found.unknown_rate:.2%} unknown"
            )


def _noise(out: Path, settings: Settings) -> None:
    clips = [clip for key in FAST for clip in read_clips(out / "done" / f"{key}.jsonl").values()]
    if not clips:
        raise ManifestError(f"{out / 'done'}: no training clips yet: run the stage `fast` first")
    rng = random.Random(settings.seed)
    chosen = rng.sample(clips, min(len(clips), settings.noise.babble_sources))
    speech = [out / clip.path for clip in chosen]
    noise.write_noises(out, settings.noise, settings.audio.rate, speech, settings.seed)
    noise.write_rooms(out, settings.noise, settings.audio.rate, settings.seed)


def _speak(keys: Sequence[str], out: Path, settings: Settings, jobs: int) -> None:
    for key in keys:
        path = out / "plan" / f"{key}.jsonl"
        if key == "train.ready" and not path.is_file():
            continue
        plan = read_plan(path)
        if key.endswith("kokoro"):
            fetch_kokoro_voices(out / "work", settings.voices.npm_package)
        done = out / "done" / f"{key}.jsonl"
        made, problems = synthesise(
            plan, out, done=done, work=out / "work", audio=settings.audio, jobs=jobs
        )
        for problem in problems:
            click.echo(problem, err=True)
        click.echo(f"{key}: {made} clips made, {len(problems)} left out, {len(plan)} planned")
