"""Lattices on disk: what is read is what was searched, with whichever scales."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import k2
import kaldifst
import numpy as np
import pytest
import reference
import torch
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from strategies import (
    EVERYTHING,
    VOCABULARIES,
    Unchecked,
    batch,
    encoded,
    log_prob_arrays,
    path_lists,
    tree,
)

from ctcbias_fst.cli import main
from ctcbias_fst.errors import InputError
from ctcbias_fst.graph.entity_tree import build_tree
from ctcbias_fst.ngram.ngram_lm import save_lm
from ctcbias_fst.ngram.train import train_lm
from ctcbias_fst.records import LogProbs
from ctcbias_fst.search.compose import LmComposer
from ctcbias_fst.search.evidence import EvidenceConfig
from ctcbias_fst.search.lattice import best_paths
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.search.lattice_files import load_lattice, save_lattice
from ctcbias_fst.search.lattice_text import symbol_table, to_text
from ctcbias_fst.search.lm_config import LmConfig
from ctcbias_fst.search.rescore_lattices import rescore_lattices
from ctcbias_fst.search.saved_lattices import LatticeWriter, read_lattices
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.search.segments import Segment, join_segments
from ctcbias_fst.search.times import TimesConfig
from ctcbias_fst.text.entity import Entity

CPU = torch.device("cpu")
LM = LmConfig(lattice_beam=1e8, beam=1e8, max_active=10**6)
MODEL = train_lm([["a", "ab", "c"], ["a", "c"], ["ab"], ["c", "as"]])


AS_SEARCHED = dataclasses.replace(
    EVERYTHING,
    times=TimesConfig(lag=0.0, widen=0.0),
    evidence=EvidenceConfig(max_entropy=1.0, min_name_confidence=0.0),
)
"""The words that the search finds, at the times of their tokens."""


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    vocabulary = data.draw(st.sampled_from(VOCABULARIES))
    folder = tmp_path_factory.mktemp("lattices")
    arrays = [data.draw(log_prob_arrays(vocabulary.size, max_frames=3)) for _ in range(2)]
    log_probs = batch(arrays, vocabulary)
    graph = tree(data.draw(path_lists(vocabulary)), vocabulary)
    config = dataclasses.replace(AS_SEARCHED, lm=LM, nbest=4)
    composer = LmComposer(MODEL, vocabulary)
    decoder = LatticeDecoder(vocabulary, config, CPU, composer, listener=LatticeWriter(folder))
    transcripts = decoder.decode(log_probs, graph)
    with_lm = list(rescore_lattices(folder, lambda v: LatticeDecoder(v, config, CPU, composer)))
    without = list(rescore_lattices(folder, lambda v: LatticeDecoder(v, config, CPU)))
    expected = LatticeDecoder(vocabulary, config, CPU).decode(log_probs, graph)
    for again, first in ((with_lm, transcripts), (without, expected)):
        assert [t.id for t in again] == ["utt0", "utt1"]
        for one, other in zip(again, first):
            assert [h.text for h in one.nbest] == [h.text for h in other.nbest]
            for left, right in zip(one.nbest, other.nbest):
                assert left.score == pytest.approx(right.score, abs=1e-4)
                assert (left.lm, left.boost) == pytest.approx((right.lm, right.boost), abs=1e-4)
                assert [(w.word, w.start, w.end, w.entity) for w in left.words] == [
                    (w.word, w.start, w.end, w.entity) for w in right.words
                ]
                assert [w.confidence for w in left.words] == pytest.approx(
                    [w.confidence for w in right.words], abs=1e-6
                )
                assert left.token_ids == right.token_ids
                assert left.shares == pytest.approx(right.shares, abs=1e-4)
                assert [dataclasses.replace(m.mention, boost=0.0) for m in left.mentions] == [
                    dataclasses.replace(m.mention, boost=0.0) for m in right.mentions
                ]
                assert [m.mention.boost for m in left.mentions] == pytest.approx(
                    [m.mention.boost for m in right.mentions], abs=1e-4
                )


def one_lattice(folder: Path) -> LogProbs:
    vocabulary = VOCABULARIES[0]
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(1, 6, vocabulary.size, generator=generator).log_softmax(-1)
    log_probs = LogProbs(values, torch.tensor([6]), 0.04, ("a/b c",), vocabulary)
    LatticeDecoder(vocabulary, EVERYTHING, CPU, listener=LatticeWriter(folder)).decode(log_probs)
    return log_probs


def test_pieces_of_a_long_utterance_are_joined(tmp_path: Path) -> None:
    vocabulary = VOCABULARIES[0]
    values = torch.full((2, 3, vocabulary.size), -9.0)
    values[:, :, 0] = 0
    values[:, 1, 0], values[:, 1, 1] = -9.0, 0.0
    log_probs = LogProbs(
        values.log_softmax(-1), torch.tensor([3, 3]), 0.5, ("long", "long"), vocabulary
    )
    decoder = LatticeDecoder(vocabulary, EVERYTHING, CPU, listener=LatticeWriter(tmp_path))
    decoder.decode(log_probs)
    (transcript,) = rescore_lattices(tmp_path, lambda v: LatticeDecoder(v, AS_SEARCHED, CPU))
    assert [(word.word, word.start) for word in transcript.best.words] == [("a", 0.5), ("a", 2.0)]


def test_more_than_ten_pieces_stay_in_order(tmp_path: Path) -> None:
    """By number, not by name: the eleventh does not follow the second."""
    vocabulary = VOCABULARIES[0]
    count = 23
    values = torch.full((count, 3, vocabulary.size), -9.0)
    values[:, :, 0] = 0
    for piece in range(count):
        values[piece, 1, 0], values[piece, 1, (1, 4)[piece % 3 == 0]] = -9.0, 0.0
    log_probs = LogProbs(
        values.log_softmax(-1), torch.full((count,), 3), 0.5, ("long",) * count, vocabulary
    )
    decoder = LatticeDecoder(vocabulary, EVERYTHING, CPU, listener=LatticeWriter(tmp_path))
    decoder.decode(log_probs)
    (pieces,) = read_lattices(tmp_path)
    assert [saved.piece for saved in pieces] == list(range(count))
    (transcript,) = rescore_lattices(tmp_path, lambda v: LatticeDecoder(v, AS_SEARCHED, CPU))
    assert [(word.word, word.start) for word in transcript.best.words] == [
        ("ac"[piece % 3 == 0], 1.5 * piece + 0.5) for piece in range(count)
    ]


def _dead_ends(*pieces: Sequence[int]) -> LogProbs:
    """A long utterance whose pieces say these tokens."""
    arrays = []
    for said in pieces:
        array = np.full((len(said), VOCABULARIES[0].size), -60.0, dtype=np.float32)
        array[range(len(said)), said] = 0.0
        arrays.append(array)
    return dataclasses.replace(batch(arrays, VOCABULARIES[0]), ids=("long",) * len(pieces))


LOST = [1, 2, 0, 2, 0, 2]
"""abbb, where the name "a b" is paid more than the beam and can only swallow the rest."""


@pytest.mark.parametrize("beam", [5.0, 15.0])
@pytest.mark.parametrize("pieces", [([0, 1, 0], LOST, [0, 1, 0]), (LOST,), (LOST, LOST)])
def test_what_the_search_lost_is_read_as_it_was_decoded(
    tmp_path: Path, beam: float, pieces: Sequence[Sequence[int]]
) -> None:
    boost = BoostConfig(
        beta=20.0, bonus=0.0, max_reward=40.0, max_wait=100.0, max_wait_letter=100.0
    )
    config = Unchecked(
        boost=boost, search_beam=beam, times=AS_SEARCHED.times, evidence=AS_SEARCHED.evidence
    )
    decoder = LatticeDecoder(VOCABULARIES[0], config, CPU, listener=LatticeWriter(tmp_path))
    log_probs = _dead_ends(*pieces)
    names = tree([reference.Path((1, 2), 0)], VOCABULARIES[0])
    found = decoder.decode(log_probs, names)
    ends = list(itertools.accumulate(map(len, pieces)))
    segments = [Segment(0, end - len(one), end) for one, end in zip(pieces, ends)]
    (expected,) = join_segments(found, segments, 0.04)
    assert "repeated with" in str(expected.warning)
    (transcript,) = rescore_lattices(tmp_path, lambda v: LatticeDecoder(v, config, CPU))
    assert transcript.warning == expected.warning
    rounded = [
        dataclasses.replace(word, start=round(word.start, 6), end=round(word.end, 6))
        for word in expected.best.words
    ]
    assert list(transcript.best.words) == rounded
    assert transcript.best.text.count("abbb") == list(map(len, pieces)).count(6)


def test_a_piece_that_is_missing_is_told(tmp_path: Path) -> None:
    log_probs = _dead_ends([0, 1, 0], LOST, [0, 1, 0])
    log_probs = dataclasses.replace(log_probs, frame_seconds=0.5)
    writer = LatticeWriter(tmp_path)
    LatticeDecoder(VOCABULARIES[0], EVERYTHING, CPU, listener=writer).decode(log_probs)
    (tmp_path / "long.1.lattice.safetensors").unlink()
    assert writer.tell("long", "cut at 0.12 s, where no pause is between the words")
    assert not writer.tell("other", "lost")
    (transcript,) = rescore_lattices(tmp_path, lambda v: LatticeDecoder(v, AS_SEARCHED, CPU))
    assert [(word.word, word.start) for word in transcript.best.words] == [("a", 0.5), ("a", 5.0)]
    assert transcript.warning == (
        "cut at 0.12 s, where no pause is between the words; of its 3 pieces, number 2 has no "
        "lattice: its words are missing; decode it again"
    )


def test_names_that_were_read_as_words_are_spelled(tmp_path: Path) -> None:
    log_probs = _dead_ends([0, 1, 2, 0], [3, 0, 0, 1])
    names = build_tree(encoded([]), (Entity("ab", "A-B"), Entity("c", "C")), VOCABULARIES[0])
    for _ in range(2):  # the list is written once
        decoder = LatticeDecoder(
            VOCABULARIES[0], AS_SEARCHED, CPU, listener=LatticeWriter(tmp_path)
        )
        first, second = decoder.decode(log_probs, names)
    assert first.best.text == "A-B"
    (transcript,) = rescore_lattices(tmp_path, lambda v: LatticeDecoder(v, AS_SEARCHED, CPU))
    assert transcript.best.text == f"{first.best.text} {second.best.text}"
    assert transcript.best.words[0].entity
    (listed,) = tmp_path.glob("*.names.json")
    listed.write_text("{")
    with pytest.raises(InputError, match=r"names\.json: damaged"):
        list(read_lattices(tmp_path))


def test_lists_that_no_lattice_has_any_more_go(tmp_path: Path) -> None:
    log_probs = _dead_ends([0, 1, 2, 0], [3, 0, 0, 1])
    (tmp_path / "mine.names.json").write_text("[]")

    def lists(*names: str) -> list[str]:
        graph = build_tree(encoded([]), tuple(Entity(n, n.upper()) for n in names), VOCABULARIES[0])
        writer = LatticeWriter(tmp_path)
        LatticeDecoder(VOCABULARIES[0], AS_SEARCHED, CPU, listener=writer).decode(log_probs, graph)
        writer.close()
        assert len(list(read_lattices(tmp_path))) == 1
        return sorted(path.name for path in tmp_path.glob("*.names.json"))

    first, second = lists("ab"), lists("ab", "c")
    assert len(first) == len(second) == 2 and "mine.names.json" in first and first != second
    damaged = tmp_path / "z.0.lattice.safetensors"
    damaged.write_bytes(b"damaged")
    other = tmp_path / f"{'0' * 32}.names.json"
    other.write_text("[]")
    LatticeWriter(tmp_path).close()
    assert other.exists()


def test_ids_that_look_like_pieces_and_unfinished_files(tmp_path: Path) -> None:
    vocabulary = VOCABULARIES[0]
    values = torch.full((3, 3, vocabulary.size), -9.0)
    values[:, :, 0] = 0
    log_probs = LogProbs(
        values.log_softmax(-1), torch.tensor([3] * 3), 0.5, ("talk", "talk", "talk.1"), vocabulary
    )
    LatticeDecoder(vocabulary, EVERYTHING, CPU, listener=LatticeWriter(tmp_path)).decode(log_probs)
    (tmp_path / ".1.2.talk.0.lattice.safetensors").write_bytes(b"half")
    found = [[(one.id, one.piece) for one in pieces] for pieces in read_lattices(tmp_path)]
    assert found == [[("talk", 0), ("talk", 1)], [("talk.1", 0)]]


def _spoken(*ids: str) -> LogProbs:
    """Three frames for each id, all blank."""
    values = torch.full((len(ids), 3, VOCABULARIES[0].size), -9.0)
    values[:, :, 0] = 0
    lengths = torch.full((len(ids),), 3)
    return LogProbs(values.log_softmax(-1), lengths, 0.5, ids, VOCABULARIES[0])


def _write(folder: Path, *ids: str) -> list[str]:
    """Write lattices; returns what is told."""
    told: list[str] = []
    listener = LatticeWriter(folder, ids, told.append)
    LatticeDecoder(VOCABULARIES[0], EVERYTHING, CPU, listener=listener).decode(_spoken(*ids))
    return told


def test_pieces_of_a_former_run_are_not_joined_on(tmp_path: Path) -> None:
    _write(tmp_path, "talk", "talk", "talk", "talk.1", "other")
    told = _write(tmp_path, "talk", "talk.1")
    found = [[(one.id, one.piece) for one in pieces] for pieces in read_lattices(tmp_path)]
    assert found == [[("other", 0)], [("talk", 0)], [("talk.1", 0)]]
    (line,) = told
    assert line.startswith(f"{tmp_path}: has lattices of 1 other utterances, which ctcbias rescore")


def test_any_id_has_a_file_of_its_own(tmp_path: Path) -> None:
    """Too long for a file name, hidden, of half a character, or like an id that was cut."""
    ids = ("n" * 300, "n" * 299 + "o", "ü/" * 60, ".hidden", "..", "\ud800", "a\0\nb", "")
    told = _write(tmp_path, *ids)
    found = [[(one.id, one.piece) for one in pieces] for pieces in read_lattices(tmp_path)]
    assert sorted(found) == sorted([(one, 0)] for one in ids)
    assert [line[:3] for line in told] == ["nnn", "nnn", "ü/ü"]
    assert all("too long for a file name; its lattices are " in line for line in told)
    texts = tmp_path / "texts"
    result = run("rescore", tmp_path, "--no-lm", "--text-dir", texts, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert len(list(texts.glob("*.symbols.txt"))) == len(ids)
    rows = (tmp_path / "out").read_text(encoding="utf-8").splitlines()
    assert sorted(json.loads(row)["id"] for row in rows) == sorted(ids)


@pytest.mark.parametrize("with_lm", [False, True])
def test_text_is_read_by_openfst(tmp_path: Path, with_lm: bool) -> None:
    one_lattice(tmp_path)
    ((saved,),) = read_lattices(tmp_path)
    lattice = saved.lattice
    if with_lm:
        lattice = LmComposer(MODEL, saved.vocabulary).compose(lattice, LM, 1e8)
    text = to_text(lattice, kaldi=False)
    assert kaldifst.compile(text).start == 0
    fsa = k2.create_fsa_vec([k2.Fsa.from_openfst(text, acceptor=False)])
    total = float(fsa.get_tot_scores(use_double_scores=True, log_semiring=False))
    (score,) = best_paths(lattice).score.tolist()
    assert total == pytest.approx(score - float(lattice.skipped_frame_score[0]), abs=1e-3)
    table = symbol_table(lattice, saved.vocabulary).split("\n")
    assert table[:3] == ["<eps> 0", "<blk> 1", "▁a 2"]
    # Kaldi's two costs add up to the same.
    kaldi, plain = to_text(lattice, True).splitlines(), to_text(lattice, False).splitlines()
    for two, both in zip(kaldi, plain):
        graph, acoustic = two.split()[-1].split(",")
        assert float(graph) + float(acoustic) == pytest.approx(float(both.split()[-1]), abs=2e-5)
        assert two.split()[:-1] == both.split()[:-1]


def test_words_of_a_lexicon_are_told(tmp_path: Path) -> None:
    """Lattices of phone models were saved once; their words are no tokens."""
    one_lattice(tmp_path)
    (path,) = tmp_path.glob("*.lattice.safetensors")
    header, tensors = load_lattice(path)
    aux = tensors["aux"].clone()
    aux[aux > 0] += 1000
    save_lattice(path, {**tensors, "aux": aux}, header)
    with pytest.raises(InputError, match=r"damaged: .*it has words of a lexicon, or names"):
        list(read_lattices(tmp_path))


def test_faults(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no lattices"):
        list(read_lattices(tmp_path))
    bad = tmp_path / "x.0.lattice.safetensors"
    bad.write_bytes(b"x")
    with pytest.raises(InputError, match=r"x\.0\.lattice\.safetensors: damaged"):
        list(read_lattices(tmp_path))
    save_file({"a": torch.zeros(1)}, bad, {"format": "other"})
    with pytest.raises(InputError, match="format 'other', .*: decode again with ctcbias decode"):
        list(read_lattices(tmp_path))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_commands(tmp_path: Path) -> None:
    """Decode with one scale and rescore with another: as decoded with that one."""
    vocabulary = VOCABULARIES[0]
    generator = torch.Generator().manual_seed(3)
    arrays = {
        name: torch.randn(9, vocabulary.size, generator=generator).log_softmax(-1)
        for name in ("u1", "u/2")
    }
    save_file(arrays, tmp_path / "log_probs.safetensors")
    rows = (f"{token} {i}\n" for i, token in enumerate(vocabulary.tokens))
    (tmp_path / "tokens.txt").write_text("".join(rows))
    save_lm(tmp_path / "lm.safetensors", MODEL)
    saved = ["--log-probs", tmp_path / "log_probs.safetensors", "--tokens", tmp_path / "tokens.txt"]
    lm = ["--lm", tmp_path / "lm.safetensors"]
    lattices = tmp_path / "lattices"
    found = []
    for name, scale in (("first", 0.1), ("second", 2.0)):
        out = tmp_path / f"{name}.jsonl"
        options = ["--set", f"decode.lm.scale={scale}", "--nbest", 3]
        more = ["--lattice-dir", lattices] if name == "first" else []
        result = run("decode", *saved, *lm, *options, *more, "--out", out)
        assert result.exit_code == 0, result.output
        found.append({r["id"]: r for r in map(json.loads, out.read_text().splitlines())})
    out, texts = tmp_path / "rescored.jsonl", tmp_path / "texts"
    options = ["--set", "decode.lm.scale=2.0", "--nbest", 3]
    result = run("rescore", lattices, *lm, *options, "--out", out, "--text-dir", texts)
    assert result.exit_code == 0, result.output
    again = {r["id"]: r for r in map(json.loads, out.read_text().splitlines())}
    assert again == found[1] != found[0]
    result = run("rescore", lattices, "--out", out)
    assert result.exit_code == 0, result.output
    assert {r["id"]: r for r in map(json.loads, out.read_text().splitlines())} == found[0]
    assert (texts / "lattices.txt").read_text().startswith("u/2\n0 ")
    assert (texts / "u%2F2.symbols.txt").is_file()
    assert "cannot act" not in result.output
    result = run("rescore", lattices, *lm, "--set", "decode.boost.beta=3", "--out", out)
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: decode.boost.beta: cannot act on saved lattices")
    result = run("rescore", lattices, "--no-lm", "--text-dir", texts, "--text-format", "openfst")
    assert result.exit_code == 0, result.output
    assert (texts / "u1.fst.txt").is_file()


def test_a_long_utterance_with_a_list_is_rescored_as_decoded(tmp_path: Path) -> None:
    """A cut without a pause is told, and names that were read as words are spelled."""
    vocabulary = VOCABULARIES[0]
    said = [*[1, 2, 2] * 300, 0, 3]
    array = torch.full((len(said), vocabulary.size), -9.0)
    array[range(len(said)), said] = 0.0
    save_file({"long": array.log_softmax(-1)}, tmp_path / "log_probs.safetensors")
    rows = (f"{token} {i}\n" for i, token in enumerate(vocabulary.tokens))
    (tmp_path / "tokens.txt").write_text("".join(rows))
    (tmp_path / "names.txt").write_text("Abb\nAB\nC\n")
    saved = ["--log-probs", tmp_path / "log_probs.safetensors", "--tokens", tmp_path / "tokens.txt"]
    saved += ["--frame-seconds", 0.04, "--entities", tmp_path / "names.txt"]
    lattices, out = tmp_path / "lattices", tmp_path / "out.jsonl"
    result = run("decode", *saved, "--lattice-dir", lattices, "--out", out)
    assert result.exit_code == 0, result.output
    record = json.loads(out.read_text())
    assert "no pause is between the words" in record["warning"]
    assert record["words"][0]["word"] == "AB"
    again = run("rescore", lattices, "--no-lm", "--out", tmp_path / "again.jsonl")
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "again.jsonl").read_text()) == record
    assert f"long: {record['warning']}" in again.output


@pytest.mark.parametrize(
    ("options", "message"),
    [([], "say --out"), (["--out", "x", "--lm", "y", "--no-lm"], "either --lm or --no-lm")],
)
def test_usage(options: list[str], message: str, tmp_path: Path) -> None:
    result = run("rescore", tmp_path, *options)
    assert result.exit_code == 1
    assert message in result.output
