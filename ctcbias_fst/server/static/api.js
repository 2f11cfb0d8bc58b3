// Requests to the server, with its key where it asks for one.

import { byId } from "./dom.js";

const KEPT = "ctcbias-key";
const form = byId("key-form");
const field = byId("key");

let waiting = [];

function key() {
  return sessionStorage.getItem(KEPT) ?? "";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEPT, field.value.trim());
  field.value = "";
  form.hidden = true;
  const calls = waiting;
  waiting = [];
  for (const call of calls) call();
});

// Show the field for the key, and wait until there is one.
function askForKey() {
  if (key()) byId("key-told").textContent = "The server does not know this key.";
  const first = form.hidden;
  form.hidden = false;
  if (first) field.focus();
  return new Promise((resolve) => waiting.push(resolve));
}

// The answer of the server, as JSON; what it refuses is an error with its message.
export async function request(path, options = {}) {
  for (;;) {
    const used = key();
    const headers = { ...options.headers };
    if (used) headers.Authorization = `Bearer ${used}`;
    let answer;
    try {
      answer = await fetch(path, { ...options, headers, credentials: "omit" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The server does not answer.");
    }
    if (answer.status === 401) {
      if (used === key()) await askForKey();
      continue;
    }
    const content = await answer.json().catch(() => null);
    if (answer.ok && content !== null) return content;
    throw new Error(content?.error?.message ?? `The server answers ${answer.status}.`);
  }
}

export function postJson(path, content, signal) {
  const headers = { "Content-Type": "application/json" };
  return request(path, { method: "POST", headers, body: JSON.stringify(content), signal });
}

export function postForm(path, fields, signal) {
  const body = new FormData();
  for (const [name, value] of fields) {
    if (value instanceof Blob) body.append(name, value, value.name ?? "recording.wav");
    else body.append(name, value);
  }
  return request(path, { method: "POST", body, signal });
}

// A websocket; browsers send no headers with one, so the key is in its query.
export function socket(path) {
  const url = new URL(path, document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  if (key()) url.searchParams.set("key", key());
  const made = new WebSocket(url);
  made.binaryType = "arraybuffer";
  return made;
}
