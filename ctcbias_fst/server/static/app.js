// The page: names on one side, speech on the other.

import { postForm, request } from "./api.js";
import { closeDetail, openDetail } from "./detail.js";
import { byId, element, takeDrops, tell } from "./dom.js";
import { Live, noMicrophone } from "./live.js";
import { entries, isTold, onNames } from "./names.js";
import { save, subtitles } from "./saving.js";
import { Words, overlaps } from "./words.js";

const status = byId("status");
const error = byId("error");
const player = byId("player");
const record = byId("record");
const again = byId("again");

let audio = null; // the file that is looked at
let shown = null; // of whose words are shown: the file, the entries, the answer with the list
let live = null;
let stopping = false;
let asked = null;

const withList = new Words(byId("with-words"), choose);
const without = new Words(byId("without-words"), choose);
const said = new Words(byId("live-words"), choose);

function choose(word, button) {
  if (live) tell(error, "Stop recording first: then words show why they were written.");
  else if (shown) openDetail(word, button, shown.audio, shown.list, play);
  else tell(error, "Transcribe again first: then words show why they were written.");
}

function play(start, end) {
  player.currentTime = start;
  player.play();
  const stop = () => {
    if (player.currentTime < end) return;
    player.pause();
    player.removeEventListener("timeupdate", stop);
  };
  player.addEventListener("timeupdate", stop);
}

function take(file) {
  if (live) {
    tell(error, `Stop recording first, then open ${file.name}.`);
    return;
  }
  byId("live").hidden = true;
  hold(file);
  transcribe();
}

// What was shown is of another recording.
function hold(file) {
  audio = file;
  clear();
  if (player.src) URL.revokeObjectURL(player.src);
  player.src = URL.createObjectURL(file);
  player.hidden = false;
  byId("save-wav").hidden = file.name !== "recording.wav";
}

function clear() {
  shown = null;
  closeDetail();
  byId("results").hidden = true;
}

async function transcribe() {
  if (!audio || live) return;
  asked?.abort();
  asked = new AbortController();
  const { signal } = asked;
  closeDetail();
  again.disabled = false;
  tell(error, "");
  status.textContent = `Transcribing ${audio.name}…`;
  try {
    const list = await entries();
    const calls = [transcript([], signal)];
    if (list.length) calls.push(transcript(list, signal));
    const answers = await Promise.all(calls);
    if (signal.aborted) return;
    shown = { audio, list, best: answers[1] ?? answers[0] };
    show(answers[0], answers[1] ?? null);
  } catch (fault) {
    if (signal.aborted) return;
    status.textContent = "";
    tell(error, fault.message);
  }
}

function transcript(names, signal) {
  const fields = [
    ["file", audio],
    ["response_format", "verbose_json"],
    ["timestamp_granularities[]", "word"],
    ["nbest", "5"],
  ];
  if (names.length) fields.push(["entities", JSON.stringify(names)]);
  return postForm("v1/audio/transcriptions", fields, signal);
}

function show(plain, biased) {
  const { best } = shown;
  const names = best.entities.length;
  const seconds = best.duration.toFixed(1);
  status.textContent = biased
    ? `${audio.name}, ${seconds} s: ${names} ${names === 1 ? "name" : "names"} of the list.`
    : `${audio.name}, ${seconds} s, without a list.`;
  byId("with-head").textContent = biased ? "With the list" : "Transcript";
  byId("without").hidden = !biased;
  withList.show(best.words, best.text, best.entities);
  if (biased) {
    const instead = plain.words.filter((word) => isOther(word, biased.words));
    without.show(plain.words, plain.text, [], instead);
  }
  const warnings = [...new Set([...plain.warnings, ...best.warnings])];
  const others = warnings.filter((text) => !isTold(text));
  const lines = others.map((text) => element("li", { textContent: text }));
  byId("warnings").replaceChildren(...lines);
  byId("results").hidden = false;
}

// Whether a word was written otherwise with the list.
function isOther(word, words) {
  return !words.some((one) => one.word === word.word && overlaps(one, word));
}

async function startRecording() {
  tell(error, "");
  asked?.abort();
  closeDetail();
  record.disabled = true;
  stopping = false;
  status.textContent = "";
  live = new Live(heard, (text) => tell(error, text), ticked);
  try {
    await live.start(await entries());
    byId("live-words").replaceChildren();
    byId("tentative").textContent = "";
    byId("live").hidden = false;
    clear();
    audio = null;
    byId("save-wav").hidden = true;
    player.pause();
    player.hidden = true;
    status.textContent = "Recording…";
    pressed(true);
  } catch (fault) {
    live = null;
    tell(error, micFault(fault));
  }
  record.disabled = false;
}

function micFault(fault) {
  const told = {
    NotAllowedError: "The browser was not allowed to use the microphone.",
    NotFoundError: "There is no microphone.",
  };
  return told[fault.name] ?? fault.message;
}

async function stopRecording() {
  record.disabled = stopping = true;
  status.textContent = "Waiting for the last words…";
  const file = await live.stop();
  live = null;
  pressed(false);
  record.disabled = false;
  byId("tentative").textContent = "";
  byId("live").hidden = !byId("live-words").firstChild;
  if (file.size <= 44) {
    status.textContent = "Nothing was recorded.";
    return;
  }
  hold(file);
  transcribe();
}

function pressed(on) {
  record.setAttribute("aria-pressed", String(on));
  byId("record-label").textContent = on ? "Stop" : "Record";
  again.disabled = on || !audio;
}

function heard(update) {
  said.add(update.words ?? []);
  byId("tentative").textContent = update.tentative ?? "";
}

function ticked(seconds) {
  const text = `Recording… ${Math.floor(seconds)} s`;
  if (!stopping && status.textContent !== text) status.textContent = text;
}

function toggle() {
  if (record.disabled) return;
  if (live) stopRecording();
  else startRecording();
}

function download(kind) {
  const { audio: of, best } = shown;
  const name = of.name.replace(/\.[^.]*$/, "") || "transcript";
  if (kind === "txt") save(`${name}.txt`, `${best.text}\n`, "text/plain;charset=utf-8");
  else if (kind === "srt") save(`${name}.srt`, subtitles(best.words), "application/x-subrip");
  else save(`${name}.json`, `${JSON.stringify(best, null, 2)}\n`, "application/json");
}

async function begin() {
  const trouble = noMicrophone();
  record.disabled = Boolean(trouble);
  tell(byId("mic-told"), trouble);
  onNames((found) => live?.changeList(found));
  try {
    const models = await request("v1/models");
    byId("model").textContent = `Model: ${models.data[0].id}`;
  } catch (fault) {
    tell(error, fault.message);
  }
}

record.addEventListener("click", toggle);
again.addEventListener("click", transcribe);
byId("audio-file").addEventListener("change", (event) => {
  const file = event.target.files[0];
  event.target.value = "";
  if (file) take(file);
});
takeDrops(byId("speech-part"), take, (text) => tell(error, text));
byId("save-wav").addEventListener("click", () => save(audio.name, audio));
for (const button of document.querySelectorAll("[data-save]")) {
  button.addEventListener("click", () => download(button.dataset.save));
}
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => event.preventDefault());
}
document.addEventListener("keydown", (event) => {
  if (event.altKey && event.code === "KeyR") {
    event.preventDefault();
    toggle();
  } else if (event.ctrlKey && event.key === "Enter") {
    event.preventDefault();
    transcribe();
  }
});
begin();
