"""Running a recipe: prepare, train, adapt, compile, decode, score, each stage resumable.

A recipe is a folder with ``prepare.py``, ``README.md`` and ``config.toml``
(:class:`RecipeConfig`; it is called ``recipe.toml`` where ``prepare.py`` has a ``config.toml`` of
its own). ``prepare.py --source DIR --out DIR`` makes manifests and lists from the data set as its
owners distribute it; everything after it is the same for all data sets, and done here.

::

    OUT/cuts_*.jsonl.gz, OUT/lists/   prepare: what is decoded, and with which names
    OUT/train/, OUT/adapt/            train, adapt: runs, with checkpoints
    OUT/model/                        the model that they give, if they were run
    OUT/graphs/SET.LIST.fst           compile
    OUT/decode/SET.LIST.jsonl         decode
    OUT/score/SET.LIST.{txt,json}     score
    OUT/stages/                       what was made of what
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lhotse import CutSet

from ctcbias_fst.compiled import compile_graph, with_limits
from ctcbias_fst.config import load_config, merge, read_toml, to_mapping
from ctcbias_fst.corpus.backends import SpeechBackend, Utterance
from ctcbias_fst.corpus.cuts import read_cuts
from ctcbias_fst.corpus.job import decode_corpus
from ctcbias_fst.errors import ConfigError, ManifestError
from ctcbias_fst.files import digest_of, fingerprint, write_text
from ctcbias_fst.graph.openfst_files import write_boost_graph
from ctcbias_fst.models.package import DEFAULT, load_package
from ctcbias_fst.scoring.report import score_files, to_json, to_table
from ctcbias_fst.settings import PipelineConfig, settings_of
from ctcbias_fst.studies.speech_sets import NamedList, SpeechSet
from ctcbias_fst.text.checked_entities import check_entities
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.printable import json_text
from ctcbias_fst.text.utterances import load_entities

STAGES = ("prepare", "train", "adapt", "compile", "decode", "score")


@dataclass(frozen=True)
class RecipeConfig:
    """What a recipe does after ``prepare.py``; paths start at the output folder.

    Attributes:
        sets: what is decoded.
        stages: those of ``--stage all``.
        train, adapt: configurations beside ``config.toml``, for the stages of these names.
        settings: of the decoder (a TOML file beside ``config.toml``), as ``ctcbias tune``
            writes them.
        replications: of the bootstrap when scoring.
    """

    sets: tuple[SpeechSet, ...]
    stages: tuple[str, ...] = ("prepare", "compile", "decode", "score")
    train: str = ""
    adapt: str = ""
    settings: str = ""
    replications: int = 1000

    def __post_init__(self) -> None:
        unknown = sorted(set(self.stages) - set(STAGES))
        if unknown:
            raise ValueError(f"unknown stage {unknown[0]!r}; there are: {', '.join(STAGES)}")
        if not self.sets:
            raise ValueError("there must be a set")


def find_recipe(name: str) -> Path:
    """The folder of a recipe: ``name`` if it is one, else below ``recipes``, here or beside
    the package.

    Raises:
        ConfigError: there is none; the message has those that there are.
    """
    roots = [Path("recipes"), Path(__file__).resolve().parents[2] / "recipes"]
    for folder in (Path(name), *(root / name for root in roots)):
        if _config_of(folder).is_file() and (folder / "prepare.py").is_file():
            return folder
    known = sorted({path.parent.name for root in roots for path in root.glob("*/README.md")})
    raise ConfigError(
        f"{name!r} is no recipe: neither a folder with prepare.py and config.toml, nor one of "
        f"{', '.join(known) or 'the recipes, which were not found: run this in a checkout'}"
    )


def _config_of(folder: Path) -> Path:
    own = folder / "recipe.toml"
    return own if own.is_file() else folder / "config.toml"


class Recipe:
    """A recipe whose stages are run one by one.

    Args:
        out: where everything is written.
        source: the data set, for ``prepare.py``.
        model: what decodes and is adapted [``OUT/model`` if it is there, else the one inside
            the package].
        parts: what acts when decoding.
        arguments: more of them, for ``prepare.py``.
    """

    def __init__(
        self,
        folder: Path,
        out: Path,
        *,
        source: Path | None = None,
        model: Path | None = None,
        parts: tuple[str, ...] | None = None,
        device: str = "cpu",
        arguments: Sequence[str] = (),
        report: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.folder, self.out, self.source = folder, out, source
        self.config = load_config(RecipeConfig, _config_of(folder))
        self._model, self._device, self._report = model, device, report
        self._arguments = arguments
        self._changes: dict[str, Any] = {}
        if self.config.settings:
            load_config(PipelineConfig, folder / self.config.settings)
            self._changes = read_toml(folder / self.config.settings)
        if parts is not None:
            self._changes["parts"] = list(parts)

    def run(self, stages: Sequence[str]) -> None:
        """Run stages in their order; what was made of the same things already is kept.

        Raises:
            CtcbiasError: a stage cannot be run.
        """
        for stage in STAGES:
            if stage in stages:
                getattr(self, stage)()

    @property
    def settings(self) -> PipelineConfig:
        """The model's own settings, with those of the recipe on top."""
        return load_config(PipelineConfig, merge(settings_of(self.model), self._changes))

    @property
    def model(self) -> Path | None:
        """The model directory; ``None`` is the model inside the package."""
        trained = self.out / "model"
        if self._model is None and (trained / "model.json").is_file():
            return trained
        return self._model

    def prepare(self) -> None:
        """Make manifests and lists with the recipe's own ``prepare.py``."""
        script = self.folder / "prepare.py"
        command = [sys.executable, str(script), "--out", str(self.out), *self._arguments]
        if self.source is not None:
            command += ["--source", str(self.source)]
        scripts = fingerprint(*sorted(self.folder.glob("*.py")))
        made_of = [scripts, str(self.source), list(self._arguments)]
        if self._is_done("prepare", made_of):
            return
        self._run(command, "prepare")
        self._is_made("prepare", made_of)

    def train(self) -> None:
        """Train a model, and put it into ``OUT/model``."""
        self._learn("train", self.config.train, ["--data", str(self.out)])

    def adapt(self) -> None:
        """Train an adapter for the model, which then has it."""
        model = str((self.model or DEFAULT).resolve())
        self._learn(
            "adapt", self.config.adapt, ["--data", str(self.out), "--set", f"model={model}"]
        )

    def compile(self) -> None:
        """Compile every list that is one for all utterances into a boosting FST."""
        package = load_package(self.model)
        for name, _, listed in self._tasks():
            path = self.out / listed.entities
            entities = load_entities(path)
            if not isinstance(entities, EntityList):
                continue
            vocabulary = package.tokenizer.vocabulary
            made_of = [fingerprint(path), vocabulary.digest, to_mapping(self.settings)]
            target = self.out / "graphs" / f"{name}.fst"
            if target.is_file() and self._is_done(f"compile.{name}", made_of):
                continue
            checked = check_entities(entities, package.tokenizer, self.settings.spoken_forms)
            checked = with_limits(checked.require_any(), self.settings)
            for line in checked.report():
                self._report(f"Warning: {path.name}: {line}")
            graph = compile_graph(checked, package.tokenizer, self.settings)
            if graph is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                write_boost_graph(graph, target, vocabulary)
                self._report(f"{target}: {len(checked)} names, {graph.num_nodes} nodes")
            self._is_made(f"compile.{name}", made_of)

    def decode(self) -> None:
        """Decode every set with every list."""
        backend: SpeechBackend | None = None
        for name, one, listed in self._tasks():
            paths = [self.out / path for path in one.cuts]
            entities = self.out / listed.entities
            header = (self.model or DEFAULT) / "model.json"
            made_of = [fingerprint(*paths, entities, header), to_mapping(self.settings)]
            target = self.out / "decode" / f"{name}.jsonl"
            if target.is_file() and self._is_done(f"decode.{name}", made_of):
                continue
            backend = backend or SpeechBackend(self.model, self.settings, self._device)
            cuts = CutSet.from_cuts(cut for path in paths for cut in read_cuts(path))
            lists = load_entities(entities)
            if not isinstance(lists, EntityList):
                lists = {cut.id: _own_list(lists, cut.id, entities) for cut in cuts}
            self._report(f"{name}: {len(cuts)} utterances")
            summary = decode_corpus(
                [Utterance(cut.id, cut.duration, cut) for cut in cuts],
                backend,
                target,
                lists=lists,
                settings={**backend.settings, "made_of": made_of},
                report=lambda message: self._report(f"Warning: {message}"),
            )
            if summary.skipped:
                self._report(f"{name}: {len(summary.skipped)} utterances were left out")
            self._is_made(f"decode.{name}", made_of)

    def score(self) -> None:
        """Score what was decoded; utterances that could not be used count as empty."""
        for name, one, listed in self._tasks():
            decoded = self.out / "decode" / f"{name}.jsonl"
            if not decoded.is_file():
                raise ManifestError(f"{decoded}: no such file; run the stage decode first")
            references = self.out / "score" / f"{name}.references.jsonl"
            _write_references([self.out / path for path in one.cuts], references)
            scored = score_files(
                references,
                decoded,
                self.out / listed.entities,
                missing_as_deletions=True,
                replications=self.config.replications,
            )
            for ending, text in (("txt", to_table(scored)), ("json", to_json(scored))):
                write_text(references.with_name(f"{name}.{ending}"), text + "\n")
            self._report(f"\n{name}\n{to_table(scored)}")

    def _tasks(self) -> Iterator[tuple[str, SpeechSet, NamedList]]:
        """Every set with each of its lists, and a name for the two."""
        for one in self.config.sets:
            for path in one.cuts:
                if not (self.out / path).is_file():
                    raise ManifestError(
                        f"{self.out / path}: no such file; run the stage prepare first"
                    )
            for listed in one.lists:
                yield re.sub(r"[^\w.-]", "", f"{one.name}.{listed.name}"), one, listed

    def _learn(self, stage: str, config: str, options: Sequence[str]) -> None:
        if not config:
            raise ConfigError(f"{self.folder}: the recipe has no stage {stage}")
        run = self.out / stage
        command = [sys.executable, "-m", "ctcbias_fst"]
        chosen = ["--config", str(self.folder / config), "--run", str(run), *options]
        self._run([*command, stage, *chosen], stage)
        self._run([*command, "export", "--run", str(run), "--out", str(self.out / "model")], stage)

    def _run(self, command: Sequence[str], stage: str) -> None:
        """Run a command whose own messages say what is wrong."""
        finished = subprocess.run(command, check=False)
        if finished.returncode:
            raise ConfigError(f"stage {stage}: {command[1]} ended with {finished.returncode}")

    def _is_done(self, what: str, made_of: Any) -> bool:
        stamp = self.out / "stages" / f"{what}.json"
        try:
            content: Mapping[str, Any] = json.loads(stamp.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        if content.get("made_of") != digest_of(made_of):
            return False
        self._report(f"{what}: done before")
        return True

    def _is_made(self, what: str, made_of: Any) -> None:
        stamp = json.dumps({"made_of": digest_of(made_of)}) + "\n"
        write_text(self.out / "stages" / f"{what}.json", stamp)


def _own_list(lists: Mapping[str, EntityList], utterance: str, path: Path) -> EntityList:
    if utterance not in lists:
        raise ManifestError(f"{path}: utterance {utterance!r} has no list of names")
    return lists[utterance]


def _write_references(manifests: Sequence[Path], target: Path) -> None:
    lines = []
    for cut in (cut for path in manifests for cut in read_cuts(path)):
        text = " ".join(segment.text or "" for segment in cut.supervisions)
        lines.append(json_text({"id": cut.id, "text": text}) + "\n")
    write_text(target, "".join(lines))
