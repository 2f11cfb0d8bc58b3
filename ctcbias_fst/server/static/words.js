// Words of a transcript as text that can be walked with the arrow keys; names are marked.

import { element } from "./dom.js";

// Each word with what stands before it in the text: a space, or nothing where scripts have none.
function laidOut(words, text) {
  let at = 0;
  return words.map((word) => {
    const found = text.indexOf(word.word, at);
    const gap = found > at ? " " : "";
    if (found >= 0) at = found + word.word.length;
    return [found < 0 ? " " : gap, word];
  });
}

export function overlaps(one, other) {
  return Math.min(one.end, other.end) - Math.max(one.start, other.start) > 0.02;
}

// What has the words of one transcript where another has some word.
export function wordsAt(words, place) {
  return words.filter((word) => overlaps(word, place));
}

export class Words {
  // `choose` is called with a word and its button.
  constructor(part, choose) {
    this.part = part;
    this.choose = choose;
    part.addEventListener("keydown", (event) => this.move(event));
  }

  // `entities` are the names among the words, `instead` those that another transcript has not.
  show(words, text, entities, instead = []) {
    const within = (at) => entities.some((one) => one.words[0] < at && at < one.words[1]);
    const nodes = laidOut(words, text).flatMap(([gap, word], at) => {
      const button = this.button(word, at === 0);
      if (instead.includes(word)) button.classList.add("instead");
      const joined = gap && within(at);
      return [joined ? element("span", { className: "name", textContent: gap }) : gap, button];
    });
    this.part.replaceChildren(...nodes);
    if (!words.length) this.part.textContent = "Nothing was heard.";
  }

  add(words) {
    for (const word of words) this.part.append(this.button(word, !this.part.firstChild), " ");
  }

  button(word, first) {
    const button = element("button", {
      type: "button",
      className: word.entity ? "word name" : "word",
      textContent: word.word,
      tabIndex: first ? 0 : -1,
    });
    if (word.entity) button.setAttribute("aria-description", "name of the list");
    button.addEventListener("click", () => {
      this.stop(button);
      this.choose(word, button);
    });
    return button;
  }

  stop(button) {
    for (const one of this.part.querySelectorAll(".word")) one.tabIndex = one === button ? 0 : -1;
  }

  move(event) {
    const all = [...this.part.querySelectorAll(".word")];
    const at = all.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined || !all[to]) return;
    event.preventDefault();
    this.stop(all[to]);
    all[to].focus();
  }
}
