// The picture of the attention: words above, names below, time from left to right.

const NS = "http://www.w3.org/2000/svg";
const LEFT = 170; // room for names
const WIDTH = 760;
const ROW = 20;
const TOP = 62; // room for both readings and the seconds

function shape(tag, attributes, text = null) {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  return made;
}

function short(text, most = 22) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

// `found` is the answer of v1/audio/explain, `word` the one that was chosen.
export function attentionPicture(found, word) {
  const { names, none, frame_seconds: frame } = found.attention;
  const shown = names.filter((one, at) => one.peak >= 0.02 || one.written || at < 3);
  const rows = [...shown, { name: "no name", weights: none, peak: 0, none: true }];
  const seconds = Math.max(found.end - found.start, 0.1);
  const scale = (WIDTH - LEFT - 10) / seconds;
  const across = (time) => LEFT + (time - found.start) * scale;
  const height = TOP + rows.length * ROW + 26;
  const most = shown.map((one) => `${one.name} ${one.peak.toFixed(2)} at ${one.at.toFixed(1)} s`);
  const svg = shape("svg", {
    viewBox: `0 0 ${WIDTH} ${height}`,
    role: "img",
    "aria-label": `Most attention on each name: ${most.join(", ")}`,
  });
  svg.append(...reading("with the list", found.with.words, 18, across, word));
  svg.append(...reading("without", found.without.words, 40, across, null));
  rows.forEach((row, at) => svg.append(...rowOf(row, TOP + at * ROW, across, found.start, frame)));
  svg.append(
    shape("rect", {
      class: "here",
      x: across(word.start),
      y: TOP - 4,
      width: Math.max(2, (word.end - word.start) * scale),
      height: rows.length * ROW + 6,
    }),
  );
  svg.append(...seconds_(found, across, TOP + rows.length * ROW));
  const holder = document.createElement("div");
  holder.className = "picture";
  holder.tabIndex = 0;
  holder.append(svg);
  return holder;
}

function reading(label, words, y, across, chosen) {
  const nodes = [shape("text", { x: LEFT - 10, y, "text-anchor": "end", class: "faint" }, label)];
  for (const word of words) {
    const x = across(word.start);
    const kind = word.entity ? "written" : "";
    const text = shape("text", { x, y, class: kind }, word.word);
    const room = across(word.end) - x;
    // Long words in little time are squeezed, and never lie over each other.
    if (word.word.length * 7.5 > room - 4) {
      text.setAttribute("textLength", Math.max(room - 4, 4));
      text.setAttribute("lengthAdjust", "spacingAndGlyphs");
    }
    if (chosen && word.start < chosen.end && word.end > chosen.start) text.classList.add("heard");
    nodes.push(text);
  }
  return nodes;
}

function rowOf(row, y, across, start, frame) {
  const kind = row.none ? "faint" : row.written ? "written" : "";
  const label = { x: LEFT - 10, y: y + 14, "text-anchor": "end", class: kind };
  const nodes = [shape("text", label, short(row.name))];
  const width = across(start + frame) - across(start);
  const end = across(start + row.weights.length * frame);
  nodes.push(
    shape("rect", { class: "ground", x: LEFT, y, width: end - LEFT, height: ROW - 3 }),
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

function seconds_(found, across, y) {
  const nodes = [];
  const step = found.end - found.start > 12 ? 5 : 1;
  for (let at = Math.ceil(found.start / step) * step; at <= found.end; at += step) {
    const x = across(at);
    nodes.push(shape("line", { class: "tick", x1: x, x2: x, y1: y, y2: y + 5 }));
    const label = { x, y: y + 18, "text-anchor": "middle", class: "faint" };
    nodes.push(shape("text", label, `${at} s`));
  }
  return nodes;
}
