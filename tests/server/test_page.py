"""The page in a real browser, with a microphone that plays a recording."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import soundfile

from ctcbias_fst import Recognizer
from ctcbias_fst.models.package import DEFAULT

pytest.importorskip("playwright", reason="playwright is not installed")

import uvicorn
from playwright import sync_api
from playwright.sync_api import expect

from ctcbias_fst.server.app import make_app
from ctcbias_fst.server.config import ServerConfig
from ctcbias_fst.server.service import Service

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

CLIP = DEFAULT.parent / "clips" / "medical-2.flac"
SAID = "my father takes Imiglucerase and feels fine"
PARTS = ("#names-part", "#speech-part")
MARKUP = "<img src=x onerror=alert(1)>"
WAIT = 60_000


@contextmanager
def served(recognizer: Recognizer, **settings: Any) -> Iterator[str]:
    """A server on a free port; its address."""
    service = Service(recognizer, ServerConfig(**settings), "ctcbias", "english")
    options = {"log_config": None, "ws": "websockets-sansio", "timeout_graceful_shutdown": 5}
    server = uvicorn.Server(uvicorn.Config(make_app(service), **options))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(WAIT / 1000)


@pytest.fixture(scope="module")
def address(recognizer: Recognizer) -> Iterator[str]:
    with served(recognizer) as one:
        yield one


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    heard = tmp_path_factory.mktemp("microphone") / "heard.wav"
    samples, rate = soundfile.read(CLIP, dtype="int16")
    soundfile.write(heard, samples, rate)
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={heard}%noloop",
            ],
        )


Opens = Callable[..., Any]


@pytest.fixture
def opens(browser: Any, address: str) -> Iterator[Opens]:
    """Opens the page; at the end nothing may have failed in it, or come from another host."""
    faults: list[str] = []
    hosts: set[str] = set()
    with ExitStack() as stack:

        def open_page(at: str = address, script: str = "", **options: Any) -> Any:
            context = browser.new_context(permissions=["microphone"], **options)
            stack.callback(context.close)
            context.set_default_timeout(WAIT)
            page = context.new_page()
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
            page.on("console", lambda told: faults.append(told.text))
            page.on("request", lambda one: hosts.add(one.url.partition("//")[2].split("/")[0]))
            if script:
                page.add_init_script(script)
            page.goto(at)
            expect(page.locator("#model")).to_have_text("Model: ctcbias", timeout=WAIT)
            assert not context.cookies()
            return page

        yield open_page
    # A browser tells of each answer that is no 200, as where a list is malformed.
    assert [one for one in faults if not re.search("status of 40[01]", one)] == []
    assert {host for host in hosts if not host.startswith("127.0.0.1:")} <= {""}


def drop(page: Any, target: str, *paths: Path) -> None:
    page.locator(target).evaluate(
        """(part, files) => {
            const carried = new DataTransfer();
            for (const [name, bytes] of files) {
                carried.items.add(new File([new Uint8Array(bytes)], name));
            }
            for (const kind of ["dragover", "drop"]) {
                const event = { dataTransfer: carried, bubbles: true, cancelable: true };
                part.dispatchEvent(new DragEvent(kind, event));
            }
        }""",
        [[path.name, list(path.read_bytes())] for path in paths],
    )


def transcribed(page: Any, names: str = "Imiglucerase\nKeisha Smith") -> None:
    page.fill("#names", names)
    drop(page, "#speech-part", CLIP)
    expect(page.locator("#with-words")).to_have_text(SAID, timeout=WAIT)


def test_names_without_effect_are_marked_while_they_are_typed(opens: Opens) -> None:
    page = opens()
    page.locator("#names").press_sequentially("Imiglucerase\n東京")
    expect(page.locator("#names-count")).to_have_text("1 name, 1 without effect", timeout=WAIT)
    expect(page.locator("#names-told")).to_contain_text("東京 has no effect: the model's")
    height = page.locator("#names").evaluate(
        "(box) => parseFloat(getComputedStyle(box).lineHeight)"
    )
    marks = page.locator("#marks div").evaluate_all("(all) => all.map((one) => one.offsetTop)")
    assert marks == [height]  # the second line
    page.get_by_role("button", name="line 2").click()
    page.keyboard.type("Keisha Smith")
    expect(page.locator("#names-count")).to_have_text("2 names", timeout=WAIT)
    expect(page.locator("#marks div")).to_have_count(0)
    assert page.input_value("#names") == "Imiglucerase\nKeisha Smith"
    page.fill("#names", "name\tweigth\nImiglucerase\t2")
    expect(page.locator("#names-told")).to_contain_text("'weigth'", timeout=WAIT)
    expect(page.locator("#marks div")).to_have_count(1)


def test_a_list_is_dropped(opens: Opens, tmp_path: Path) -> None:
    page = opens()
    drop(page, "#names-part", DEFAULT.parent / "clips" / "names.txt")
    expect(page.locator("#names-count")).to_have_text("1007 names", timeout=WAIT)
    (tmp_path / "old.txt").write_bytes("José".encode("latin-1"))
    drop(page, "#names-part", tmp_path / "old.txt", CLIP)
    told = page.locator("#names-told")
    expect(told).to_contain_text("old.txt is no text in UTF-8: save it so. The list is as it was.")
    expect(told).to_contain_text("old.txt is taken; of several files the first counts.")
    expect(page.locator("#names-count")).to_have_text("1007 names")
    (tmp_path / "new.csv.gz").write_bytes(gzip.compress("name\nJosé\nTobias\n".encode()))
    drop(page, "#names-part", tmp_path / "new.csv.gz")
    expect(page.locator("#names-count")).to_have_text("2 names", timeout=WAIT)
    assert told.inner_text() == ""


def test_a_recording_with_and_without_the_list(opens: Opens) -> None:
    page = opens()
    transcribed(page)
    expect(page.locator("#with-words .name")).to_have_text("Imiglucerase")
    instead = page.locator("#without-words .instead")
    assert "glucerase" in instead.inner_text()
    expect(page.locator("#without-words .name")).to_have_count(0)
    instead_text = instead.inner_text()

    page.click("#with-words .name")
    detail = page.locator("#detail")
    expect(detail.locator("svg")).to_be_visible(timeout=WAIT)
    expect(detail.locator("dl")).to_contain_text(f"Without the list{instead_text}")
    expect(detail.locator("dl")).to_contain_text("nats for the letters of the name")
    tables = detail.locator("table")
    expect(tables).to_have_count(2)
    assert tables.nth(0).locator("tbody tr").count() > 1
    assert "Imiglucerase" in detail.locator("svg").get_attribute("aria-label")
    assert detail.locator("svg rect.heard").count() > 5

    page.fill("#names", "")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#with-words")).to_have_text(SAID.replace("Imiglucerase", instead_text))
    expect(page.locator("#without")).to_be_hidden()
    expect(detail).to_be_hidden()


def test_downloads(opens: Opens) -> None:
    page = opens()
    transcribed(page)
    found = {}
    for kind in ("txt", "srt", "json"):
        with page.expect_download() as download:
            page.click(f"[data-save={kind}]")
        assert download.value.suggested_filename == f"medical-2.{kind}"
        found[kind] = Path(download.value.path()).read_text(encoding="utf-8")
    assert found["txt"] == f"{SAID}\n"
    number, times, *lines = found["srt"].splitlines()
    assert number == "1"
    assert re.fullmatch(r"00:00:00,\d{3} --> 00:00:03,\d{3}", times)
    assert " ".join(lines) == SAID
    assert all(len(line) <= 42 for line in lines)
    content = json.loads(found["json"])
    assert content["entities"][0]["name"] == "imiglucerase"
    assert len(content["nbest"]) > 1


def test_names_are_text_wherever_they_are_shown(opens: Opens, tmp_path: Path) -> None:
    page = opens()
    names = [{"name": "Imiglucerase", "display": MARKUP}, {"name": f"東京{MARKUP}"}]
    page.fill("#names", json.dumps(names, ensure_ascii=False))
    expect(page.locator("#names-told")).to_contain_text(f"東京{MARKUP}", timeout=WAIT)
    clip = tmp_path / f"{MARKUP}.flac"
    shutil.copy(CLIP, clip)
    drop(page, "#speech-part", clip)
    said = SAID.replace("Imiglucerase", MARKUP)
    expect(page.locator("#with-words")).to_have_text(said, timeout=WAIT)
    page.locator("#with-words .name").first.click()
    expect(page.locator("#detail svg")).to_contain_text(MARKUP[:12], timeout=WAIT)
    expect(page.locator("#detail-head")).to_contain_text(f"“{MARKUP}”")  # all of its words
    expect(page.locator("#detail dl")).to_contain_text(f"On the list{MARKUP}")
    expect(page.locator("#status")).to_contain_text(MARKUP)
    page.fill("#names", MARKUP)
    expect(page.locator("#names-told")).to_contain_text(MARKUP, timeout=WAIT)
    assert page.locator("img").count() == 0


def test_the_keyboard_is_enough(opens: Opens) -> None:
    page = opens()
    page.on("filechooser", lambda chooser: chooser.set_files(CLIP))

    def tab_to(target: str) -> None:
        for _ in range(40):
            if page.evaluate("(to) => document.activeElement?.matches(to)", target):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not come to {target}")

    tab_to("#names")
    page.keyboard.type("Imiglucerase")
    tab_to("#audio-file")
    page.keyboard.press("Enter")
    expect(page.locator("#with-words")).to_have_text(SAID, timeout=WAIT)
    tab_to("#with-words .word")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#with-words .name")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#detail svg")).to_be_visible(timeout=WAIT)
    expect(page.locator("#detail-head")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    expect(page.locator("#with-words .name")).to_be_focused()
    page.keyboard.press("End")
    expect(page.locator("#with-words .word").last).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_words_come_while_they_are_said_and_what_was_recorded_is_transcribed(opens: Opens) -> None:
    page = opens()
    page.fill("#names", "Imiglucerase")
    expect(page.locator("#names-count")).to_have_text("1 name", timeout=WAIT)
    page.keyboard.press("Alt+r")
    expect(page.locator("#record")).to_have_attribute("aria-pressed", "true", timeout=WAIT)
    page.fill("#names", "Imiglucerase\nKeisha Smith")  # another list on the way
    live = page.locator("#live-words")
    expect(live.locator(".name")).to_have_text("Imiglucerase", timeout=WAIT)
    expect(page.locator("#status")).to_have_text(re.compile(r"Recording… \d+ s"))
    page.keyboard.press("Alt+r")
    expect(page.locator("#with-words .name")).to_have_text("Imiglucerase", timeout=WAIT)
    expect(page.locator("#without-words .instead")).to_be_visible()
    assert live.inner_text().split() == SAID.split()
    with page.expect_download() as download:
        page.click("#save-wav")
    info = soundfile.info(download.value.path())
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
    assert info.duration > 2


def test_a_change_of_the_list_is_not_lost_before_there_is_a_microphone(opens: Opens) -> None:
    held = """
        const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        const gate = new Promise((go) => { window.go = go; });
        navigator.mediaDevices.getUserMedia = (wanted) => gate.then(() => own(wanted));
    """
    page = opens(script=held)
    page.fill("#names", "Keisha Smith")
    expect(page.locator("#names-count")).to_have_text("1 name", timeout=WAIT)
    page.keyboard.press("Alt+r")
    expect(page.locator("#record")).to_be_disabled()
    page.fill("#names", "Imiglucerase\nTobias")
    expect(page.locator("#names-count")).to_have_text("2 names", timeout=WAIT)
    page.evaluate("go()")
    live = page.locator("#live-words")
    expect(live.locator(".name")).to_have_text("Imiglucerase", timeout=WAIT)


def test_a_lost_connection_is_told_and_nothing_else_is_lost(opens: Opens) -> None:
    kept = """
        const Own = WebSocket;
        window.sockets = [];
        window.WebSocket = class extends Own {
            constructor(...wanted) { super(...wanted); window.sockets.push(this); }
        };
    """
    page = opens(script=kept)
    page.fill("#names", "Imiglucerase")
    page.keyboard.press("Alt+r")
    expect(page.locator("#live-words")).to_contain_text("my", timeout=WAIT)
    page.evaluate("sockets[0].close()")
    expect(page.locator("#error")).to_contain_text("connection to the server is lost")
    expect(page.locator("#status")).to_have_text(re.compile("Recording… [3-9]"), timeout=WAIT)
    page.keyboard.press("Alt+r")
    expect(page.locator("#with-words .name")).to_have_text("Imiglucerase", timeout=WAIT)
    expect(page.locator("#error")).to_be_hidden()


def test_where_there_is_no_microphone_the_page_tells_why(opens: Opens) -> None:
    gone = 'Object.defineProperty(navigator, "mediaDevices", { value: undefined });'
    page = opens(script=gone)
    expect(page.locator("#mic-told")).to_contain_text("no microphone")
    expect(page.locator("#record")).to_be_disabled()
    insecure = f'{gone} Object.defineProperty(window, "isSecureContext", {{ value: false }});'
    page = opens(script=insecure)
    expect(page.locator("#mic-told")).to_contain_text("https")
    transcribed(page)


def test_a_key_is_asked_for(opens: Opens, recognizer: Recognizer, browser: Any) -> None:
    with served(recognizer, keys=("right key",)) as address:
        context = browser.new_context()
        context.set_default_timeout(WAIT)
        page = context.new_page()
        page.goto(address)
        expect(page.locator("#key")).to_be_focused(timeout=WAIT)
        page.keyboard.type("wrong key")
        page.keyboard.press("Enter")
        expect(page.locator("#key-told")).to_have_text("The server does not know this key.")
        expect(page.locator("#key")).to_be_visible()
        page.fill("#key", "right key")
        page.keyboard.press("Enter")
        expect(page.locator("#model")).to_have_text("Model: ctcbias", timeout=WAIT)
        expect(page.locator("#key-form")).to_be_hidden()
        transcribed(page)
        assert not context.cookies()
        assert page.evaluate("localStorage.length") == 0
        page.close()
        context.close()


def test_what_the_server_refuses_is_told(opens: Opens, tmp_path: Path) -> None:
    page = opens()
    (tmp_path / "noise.wav").write_bytes(b"no recording at all")
    drop(page, "#speech-part", tmp_path / "noise.wav")
    expect(page.locator("#error")).to_contain_text("noise.wav", timeout=WAIT)
    expect(page.locator("#results")).to_be_hidden()
    transcribed(page)
    expect(page.locator("#error")).to_be_hidden()
    drop(page, "#speech-part", tmp_path / "noise.wav", CLIP)  # what was there is of another one
    expect(page.locator("#error")).to_contain_text("noise.wav", timeout=WAIT)
    expect(page.locator("#results")).to_be_hidden()


def test_dark_and_narrow(opens: Opens) -> None:
    page = opens(color_scheme="dark", viewport={"width": 320, "height": 600})
    transcribed(page)
    page.click("#with-words .name")
    expect(page.locator("#detail svg")).to_be_visible(timeout=WAIT)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    names, speech = (page.locator(part).bounding_box() for part in PARTS)
    assert names["y"] + names["height"] <= speech["y"]
    wide = opens(color_scheme="light", viewport={"width": 1200, "height": 800})
    names, speech = (wide.locator(part).bounding_box() for part in PARTS)
    assert names["x"] + names["width"] <= speech["x"]
    dark, light = (
        one.evaluate("getComputedStyle(document.body).backgroundColor") for one in (page, wide)
    )
    assert dark != light
