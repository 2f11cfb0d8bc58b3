// The picture of the attention: words above, names below, time from left to right.

const NS = "http://www.w3.org/2000/svg";
const AROUND = 2.5; // seconds that are shown before and after the word
const LEAST = 90; // pixels of a second, in which words can be read
const ROW = 20;
const LETTER = 7.4; // about as wide as one is
const LANE = 15; // words that have too little time are written in a second line
const TOP = 80; // room for both readings

function shape(tag, attributes, text = null) {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  return made;
}

function short(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

// The part of an answer that is around a word.
function around(found, word) {
  const { none, names, frame_seconds: frame } = found.attention;
  const first = Math.max(0, Math.floor((word.start - AROUND - found.start) / frame));
  const last = Math.min(none.length, Math.ceil((word.end + AROUND - found.start) / frame));
  const start = found.start + first * frame;
  const end = found.start + last * frame;
  const within = (words) => words.filter((one) => one.start >= start && one.end <= end);
  const rows = names.map((one) => ({ ...one, weights: one.weights.slice(first, last) }));
  return {
    start,
    end,
    with: within(found.with.words),
    without: within(found.without.words),
    names: rows.map((one) => ({ ...one, peak: Math.max(0, ...one.weights) })),
    none: none.slice(first, last),
    frame,
  };
}

// `whole` is the answer of v1/audio/explain, `word` the one that was chosen, `room` the pixels that
// there are.
export function attentionPicture(whole, word, room) {
  const found = around(whole, word);
  const { names, none, frame } = found;
  const shown = names.filter((one, at) => one.peak >= 0.02 || one.written || at < 3);
  const rows = [...shown, { name: "no name", weights: none, peak: 0, none: true }];
  const seconds = Math.max(found.end - found.start, 0.1);
  const left = Math.min(170, Math.max(110, room / 4)); // for names
  const width = Math.max(room, left + 10 + LEAST * seconds);
  const scale = (width - left - 10) / seconds;
  const across = (time) => left + (time - found.start) * scale;
  const height = TOP + rows.length * ROW + 26;
  const most = shown.map((one) => {
    const at = found.start + one.weights.indexOf(one.peak) * frame;
    return one.peak ? `${one.name} ${one.peak.toFixed(2)} at ${at.toFixed(1)} s` : `${one.name} none`;
  });
  const svg = shape("svg", {
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: "img",
    "aria-label": `Most attention on each name: ${most.join(", ")}`,
  });
  svg.append(...reading("with the list", found.with, 18, left, across, word));
  svg.append(...reading("without", found.without, 56, left, across, null));
  rows.forEach((row, at) => svg.append(...rowOf(row, TOP + at * ROW, across, found)));
  svg.append(
    shape("rect", {
      class: "here",
      x: across(word.start),
      y: TOP - 4,
      width: Math.max(2, (word.end - word.start) * scale),
      height: rows.length * ROW + 6,
    }),
  );
  svg.append(...ticks(found, across, TOP + rows.length * ROW));
  const holder = document.createElement("div");
  holder.className = "picture";
  holder.tabIndex = 0;
  holder.dataset.at = String(Math.max(0, across(word.start) - left - LEAST));
  holder.append(svg);
  return holder;
}

function reading(label, words, y, left, across, chosen) {
  const nodes = [shape("text", { x: left - 10, y, "text-anchor": "end", class: "faint" }, label)];
  const ends = [left, left];
  for (const word of words) {
    const x = across(word.start);
    const lane = ends[0] <= x || ends[0] <= ends[1] ? 0 : 1;
    const at = Math.max(x, ends[lane]);
    const text = shape("text", { x: at, y: y + lane * LANE }, word.word);
    if (word.entity) text.classList.add("written");
    if (chosen && word.start < chosen.end && word.end > chosen.start) text.classList.add("heard");
    ends[lane] = at + LETTER * (word.word.length + 1);
    nodes.push(text);
  }
  return nodes;
}

function rowOf(row, y, across, { start, frame }) {
  const left = across(start);
  const kind = row.none ? "faint" : row.written ? "written" : "";
  const label = { x: left - 10, y: y + 14, "text-anchor": "end", class: kind };
  const nodes = [shape("text", label, short(row.name, Math.floor((left - 14) / LETTER)))];
  const width = across(start + frame) - across(start);
  const end = across(start + row.weights.length * frame);
  nodes.push(
    shape("rect", { class: "ground", x: left, y, width: end - left, height: ROW - 3 }),
  );
  row.weights.forEach((weight, at) => {
    if (weight < 0.02) return;
    const tall = Math.max(1, weight * (ROW - 3));
    nodes.push(
      shape("rect", {
        class: row.none ? "faint" : "heard",
        x: across(start + at * frame),
        y: y + ROW - 3 - tall,
        width: width + 0.3,
        height: tall,
        opacity: row.none ? 0.35 : 1,
      }),
    );
  });
  return nodes;
}

function ticks(found, across, y) {
  const nodes = [];
  for (let at = Math.ceil(found.start); at <= found.end; at += 1) {
    const x = across(at);
    nodes.push(shape("line", { class: "tick", x1: x, x2: x, y1: y, y2: y + 5 }));
    const label = { x, y: y + 18, "text-anchor": "middle", class: "faint" };
    nodes.push(shape("text", label, `${at} s`));
  }
  return nodes;
}
