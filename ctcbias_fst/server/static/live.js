// The microphone: what it hears is kept, and words come while it is said.

import { socket } from "./api.js";
import { wavFile } from "./saving.js";

const RATE = 16000;
const LAST_WORDS = 15_000; // milliseconds that the server has for them
const NONE_LIVE = "Words come after stopping, none live.";
const LOST =
  "The connection to the server is lost, and no more words come. What is said is still recorded: stop, and transcribe it once the server is there.";

// Why there is no microphone; empty if there is one.
export function noMicrophone() {
  if (navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode) return "";
  if (!window.isSecureContext) {
    return "Browsers give a microphone only to pages on https, or on localhost. Recordings can be opened all the same.";
  }
  return "This browser has no microphone for pages. Recordings can be opened all the same.";
}

// A recording in the making. `seen` is called with each update, `troubled` with what goes wrong,
// `ticked` with the seconds that were heard.
export class Live {
  constructor(seen, troubled, ticked) {
    this.seen = seen;
    this.troubled = troubled;
    this.ticked = ticked;
    this.chunks = [];
    this.waiting = [];
    this.ready = false;
    this.told = false;
    this.ending = false;
    this.list = null; // the entries that are wanted
    this.sent = null; // those that the server has
    this.bytes = 0;
  }

  async start(entities) {
    this.stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    try {
      await this.listen();
    } catch (error) {
      this.release();
      throw error;
    }
    this.list ??= entities;
    this.connect();
  }

  async listen() {
    this.context = new AudioContext({ sampleRate: RATE });
    let source;
    try {
      source = this.context.createMediaStreamSource(this.stream);
    } catch {
      // Some browsers cannot resample a microphone: then the server does.
      await this.context.close();
      this.context = new AudioContext();
      source = this.context.createMediaStreamSource(this.stream);
    }
    await this.context.audioWorklet.addModule(new URL("recorder.js", import.meta.url));
    this.node = new AudioWorkletNode(this.context, "recorder", { numberOfOutputs: 0 });
    this.ended = new Promise((resolve) => {
      this.node.port.onmessage = (event) => {
        if (event.data === null) resolve();
        else this.take(event.data);
      };
    });
    source.connect(this.node);
    await this.context.resume();
  }

  connect() {
    this.socket = socket("v1/stream");
    this.closed = new Promise((resolve) => {
      this.socket.onclose = () => {
        if (!this.told && !this.ending) this.troubled(this.ready ? LOST : NONE_LIVE);
        this.ready = false;
        resolve();
      };
    });
    this.socket.onopen = () => {
      const start = { type: "start", sampling_rate: this.context.sampleRate, encoding: "s16le" };
      this.sent = this.list;
      this.tell({ ...start, channels: 1, ...listFields(this.sent) });
    };
    this.socket.onmessage = (event) => this.heard(JSON.parse(event.data));
  }

  heard(message) {
    if (message.type === "ready") {
      this.ready = true;
      this.sendList();
      for (const chunk of this.waiting) this.socket.send(chunk);
      this.waiting = [];
    } else if (message.type === "update") {
      this.seen(message);
    }
    const told = message.error ? [message.error.message] : (message.warnings ?? []);
    // What a list says of its entries is shown beside them.
    if (told.length && (message.error || message.type === "update")) this.troubled(told.join(" "));
    if (message.type === "error") this.told = true;
    if (message.type === "done") {
      this.ending = true;
      this.socket.close();
    }
  }

  tell(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  take(chunk) {
    this.chunks.push(chunk);
    this.bytes += chunk.byteLength;
    this.ticked(this.bytes / 2 / this.context.sampleRate);
    if (this.ready && this.socket.readyState === WebSocket.OPEN) this.socket.send(chunk);
    else if (this.socket?.readyState !== WebSocket.CLOSED) this.waiting.push(chunk);
  }

  changeList(entities) {
    this.list = entities;
    if (this.ready) this.sendList();
  }

  // A change may come before the server has answered, or the microphone.
  sendList() {
    if (this.sent === this.list) return;
    this.sent = this.list;
    this.tell({ type: "list", ...listFields(this.list) });
  }

  // The recording as a file, once the last words have come.
  async stop() {
    this.node.port.postMessage("stop");
    await this.ended;
    const rate = this.context.sampleRate;
    this.release();
    this.tell({ type: "finish" });
    await Promise.race([this.closed, new Promise((go) => setTimeout(go, LAST_WORDS))]);
    this.ending = true;
    this.socket.close();
    return wavFile(this.chunks, rate, "recording.wav");
  }

  release() {
    for (const track of this.stream.getTracks()) track.stop();
    this.context?.close();
  }
}

function listFields(entities) {
  return entities.length ? { entities } : {};
}
