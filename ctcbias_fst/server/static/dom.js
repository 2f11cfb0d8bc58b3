// What all parts of the page share: elements, whose content is always text, never markup.

export function byId(id) {
  return document.getElementById(id);
}

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// Show text in a line that is hidden while there is none.
export function tell(line, text) {
  line.textContent = text;
  line.hidden = !text;
}

export function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

export function clock(seconds) {
  return `${seconds.toFixed(2)} s`;
}

// Take the file that is dropped on a part of the page; `many` is told of others beside it.
export function takeDrops(part, take, many) {
  part.addEventListener("dragover", (event) => {
    event.preventDefault();
    part.classList.add("over");
  });
  part.addEventListener("dragleave", () => part.classList.remove("over"));
  part.addEventListener("drop", (event) => {
    event.preventDefault();
    part.classList.remove("over");
    const [file, ...others] = event.dataTransfer.files;
    if (!file) return;
    take(file);
    if (others.length) many(`${file.name} is taken; of several files the first counts.`);
  });
}
