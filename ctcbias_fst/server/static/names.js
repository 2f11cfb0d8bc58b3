// The box for names: what has no effect is marked as one types.

import { postJson } from "./api.js";
import { byId, counted, element, takeDrops } from "./dom.js";

const PAUSE = 200; // milliseconds without a key, before the list is sent
const SHOWN = 50;

const box = byId("names");
const marks = byId("marks");
const told = byId("names-told");
const count = byId("names-count");

let timer = 0;
let sent = null;
let changed = () => {};
let state = { text: "", entries: [], notes: [], error: "" };
let checking = Promise.resolve();

export function onNames(call) {
  changed = call;
}

// The entries as requests have them; none if none can have an effect. Waits for what is typed.
export async function entries() {
  if (box.value !== state.text) check();
  await checking;
  if (state.error) throw new Error(state.error);
  return state.entries;
}

// Whether the box tells what a warning of the server says.
export function isTold(warning) {
  const line = /^entities, entry \d+: .* has no effect: /s;
  return line.test(warning) || state.notes.some((note) => warning === `entities: ${note}`);
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(check, PAUSE);
}

function check() {
  clearTimeout(timer);
  sent?.abort();
  sent = new AbortController();
  checking = look(box.value, sent.signal);
}

async function look(text, signal) {
  state = { text, entries: [], notes: [], error: "" };
  if (!text.trim()) {
    show({ names: 0, rejected: [], notes: [], unit: "line" }, false);
  } else {
    try {
      const found = await postJson("v1/names/check", { text }, signal);
      if (signal.aborted) return;
      if (found.names) state.entries = found.entries;
      state.notes = found.notes;
      show(found, true);
    } catch (error) {
      if (signal.aborted) return;
      state.error = error.message;
      refuse(error.message);
      return;
    }
  }
  changed(state.entries);
}

function show(found, any) {
  const lost = new Set(found.rejected.map((one) => one.line)).size;
  const without = lost ? `, ${lost} without effect` : "";
  count.textContent = any ? counted(found.names, "name") + without : "";
  const byLine = found.unit === "line";
  mark(byLine ? found.rejected.map((one) => one.line) : []);
  const rejected = found.rejected.slice(0, SHOWN).map((one) => {
    const where = `${found.unit} ${one.line}`;
    const place = byLine ? jump(one.line, where) : element("span", { textContent: where });
    const reason = ` ${one.text} has no effect: ${one.reason}`;
    return element("li", { className: "idle" }, place, reason);
  });
  if (found.rejected.length > SHOWN) {
    const more = `and ${found.rejected.length - SHOWN} more without effect`;
    rejected.push(element("li", { className: "idle", textContent: more }));
  }
  const notes = found.notes.map((note) => element("li", { textContent: note }));
  told.replaceChildren(...rejected, ...notes);
}

// A list that cannot be read at all.
function refuse(message) {
  const line = Number(/\bline (\d+)/.exec(message)?.[1] ?? 0);
  count.textContent = "The list cannot be read.";
  mark(line ? [line] : []);
  told.replaceChildren(fault(message));
}

function jump(line, where) {
  const button = element("button", { type: "button", textContent: where });
  button.addEventListener("click", () => {
    const lines = box.value.split("\n");
    const begin = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
    box.focus();
    box.setSelectionRange(begin, begin + (lines[line - 1] ?? "").length);
    box.scrollTop = Math.max(0, (line - 3) * lineHeight());
  });
  return button;
}

function lineHeight() {
  return parseFloat(getComputedStyle(box).lineHeight);
}

function mark(lines) {
  const height = lineHeight();
  const strips = [...new Set(lines)].map((line) => {
    const strip = element("div", { textContent: "!" });
    strip.style.top = `${(line - 1) * height}px`;
    return strip;
  });
  marks.replaceChildren(...strips);
}

async function open(file) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await unpacked(file));
  } catch {
    told.prepend(fault(`${file.name} is no text in UTF-8: save it so. The list is as it was.`));
    return;
  }
  box.value = text;
  box.scrollTop = 0;
  check();
}

// The bytes of a file, which may be packed with gzip.
async function unpacked(file) {
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  if (first !== 0x1f || second !== 0x8b) return file.arrayBuffer();
  return new Response(file.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

function fault(text) {
  return element("li", { className: "idle told", textContent: text });
}

box.addEventListener("input", later);
box.addEventListener("scroll", () => {
  marks.style.transform = `translateY(${-box.scrollTop}px)`;
});
byId("names-file").addEventListener("change", (event) => {
  const file = event.target.files[0];
  event.target.value = "";
  if (file) open(file);
});
takeDrops(byId("names-part"), open, (text) => told.prepend(fault(text)));
if (box.value) check();
