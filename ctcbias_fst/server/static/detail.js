// Why a word was written: how it was heard without the list, other readings, attention.

import { postForm } from "./api.js";
import { byId, clock, element } from "./dom.js";
import { attentionPicture } from "./picture.js";
import { overlaps, wordsAt } from "./words.js";

const FOUND_BY = {
  boost: "the search, which gives its letters a boost",
  text: "reading: the words that were heard are the name",
  lookup: "its sound: it took the place of words that sound like it",
};

const panel = byId("detail");
const head = byId("detail-head");
const status = byId("detail-status");
const body = byId("detail-body");

let opened = null; // the button of the word
let asked = null;

export function closeDetail(back = false) {
  asked?.abort();
  opened?.removeAttribute("aria-expanded");
  panel.hidden = true;
  if (back) opened?.focus();
  opened = null;
}

// `audio` is the file, `list` the entries that it was transcribed with.
export async function openDetail(word, button, audio, list, play) {
  closeDetail();
  opened = button;
  button.setAttribute("aria-expanded", "true");
  panel.hidden = false;
  name(word, play);
  body.replaceChildren();
  status.textContent = "Listening once more…";
  head.focus();
  panel.scrollIntoView({ block: "nearest" });
  asked = new AbortController();
  const { signal } = asked;
  const fields = [["file", audio], ["start", word.start], ["end", word.end]];
  if (list.length) fields.push(["entities", JSON.stringify(list)]);
  try {
    const found = await postForm("v1/audio/explain", fields, signal);
    if (signal.aborted) return;
    status.textContent = "";
    const place = wholeName(found.with, word);
    name(place, play);
    body.replaceChildren(...content(found, place));
    const picture = body.querySelector(".picture");
    if (picture) picture.scrollLeft = Number(picture.dataset.at);
    panel.scrollIntoView({ block: "nearest" });
  } catch (error) {
    if (!signal.aborted) status.textContent = error.message;
  }
}

function name(place, play) {
  head.textContent = `“${place.word}”, ${clock(place.start)} to ${clock(place.end)}`;
  byId("detail-play").onclick = () => play(place.start, place.end);
}

// Of a word of a name all of the name.
function wholeName(record, word) {
  const entity = record?.entities.find((one) => overlaps(one, word));
  if (!entity) return word;
  const words = record.words.slice(...entity.words).map((one) => one.word);
  return { ...word, word: words.join(" "), start: entity.start, end: entity.end };
}

function content(found, word) {
  const best = found.with ?? found.without;
  const nodes = [facts(found, best, word)];
  nodes.push(...readings(found.with ? "Readings with the list" : "Readings", best));
  if (found.with) nodes.push(...readings("Readings without the list", found.without));
  if (found.attention) {
    nodes.push(element("h4", { textContent: "Attention on the names" }));
    nodes.push(attentionPicture(found, word, body.clientWidth));
  } else if (found.no_attention) {
    nodes.push(element("p", { className: "quiet", textContent: found.no_attention }));
  }
  return nodes;
}

function facts(found, best, word) {
  const list = element("dl");
  const add = (term, text) => {
    if (text !== undefined && text !== null && text !== "") {
      list.append(element("dt", { textContent: term }), element("dd", { textContent: text }));
    }
  };
  const confidence = word.probability ?? word.confidence;
  add("Confidence", confidence === undefined ? "" : `${Math.round(100 * confidence)} %`);
  const plain = wordsAt(found.without.words, word);
  const text = plain.map((one) => one.word).join(" ") || "nothing";
  add("Without the list", found.with ? text : "");
  const name = best.entities.find((one) => overlaps(one, word));
  if (!name) return list;
  add("On the list", [name.display, name.category].filter(Boolean).join(", "));
  add("Found by", FOUND_BY[name.found_by] ?? name.found_by);
  add("Heard as", name.heard);
  add("Boost", name.boost ? `${signed(name.boost)} nats for the letters of the name` : "");
  add("Its sounds", name.phone === undefined ? "" : phones(name.phone));
  add("Lookup", name.lookup === undefined ? "" : `${signed(name.lookup)} nats by its sound`);
  return list;
}

function phones(value) {
  const less = `${Math.abs(value).toFixed(1)} nats`;
  return `${less} less likely than the likeliest sounds of the same time (0 is a perfect match)`;
}

function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)}`;
}

function readings(title, record) {
  const all = record.nbest ?? [record];
  const rows = all.map((one) => {
    const text = element("td", {}, ...marked(one.text, all[0].text));
    const less = one.score - all[0].score;
    const score = less < 0 ? signed(less) : "best";
    return element("tr", {}, text, element("td", { className: "number", textContent: score }));
  });
  const caption = element("h4", { textContent: title });
  const header = element(
    "tr",
    {},
    element("th", { scope: "col", textContent: "of what was said around it" }),
    element("th", { scope: "col", className: "number", textContent: "nats" }),
  );
  return [caption, element("table", {}, element("thead", {}, header), element("tbody", {}, ...rows))];
}

// The text, with the stretch marked in which it differs from the best.
function marked(text, best) {
  const words = text.split(" ");
  const others = best.split(" ");
  let begin = 0;
  while (begin < words.length && words[begin] === others[begin]) begin += 1;
  let end = 0;
  const most = Math.min(words.length, others.length) - begin;
  while (end < most && words.at(-1 - end) === others.at(-1 - end)) end += 1;
  const middle = words.slice(begin, words.length - end).join(" ");
  if (!middle) return [text];
  const before = words.slice(0, begin).join(" ");
  const after = words.slice(words.length - end).join(" ");
  const one = element("span", { className: "instead", textContent: middle });
  return [before && `${before} `, one, end ? ` ${after}` : ""];
}

byId("detail-close").addEventListener("click", () => closeDetail(true));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !panel.hidden) closeDetail(true);
});
