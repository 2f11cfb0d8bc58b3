// Files that are made in the browser: downloads, subtitles, and what the microphone has heard.

const CUE_SECONDS = 7;
const CUE_LETTERS = 84;
const CUE_PAUSE = 0.8;
const LINE_LETTERS = 42;

export function save(name, content, type) {
  const link = document.createElement("a");
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// SubRip cues, which end at a pause, after two lines or after some seconds.
export function subtitles(words) {
  const cues = [];
  for (const word of words) {
    const cue = cues.at(-1);
    const long = cue && cue.reduce((sum, one) => sum + one.word.length + 1, word.word.length);
    const goesOn =
      cue &&
      word.start - cue.at(-1).end <= CUE_PAUSE &&
      word.end - cue[0].start <= CUE_SECONDS &&
      long <= CUE_LETTERS;
    if (goesOn) cue.push(word);
    else cues.push([word]);
  }
  const texts = cues.map((cue, at) => {
    const times = `${srtTime(cue[0].start)} --> ${srtTime(cue.at(-1).end)}`;
    return `${at + 1}\n${times}\n${lines(cue.map((one) => one.word)).join("\n")}\n`;
  });
  return texts.join("\n");
}

function lines(words) {
  const found = [];
  for (const word of words) {
    // No line may look like the times of a cue.
    const text = word.replaceAll("-->", "->");
    const last = found.at(-1);
    if (last !== undefined && last.length + text.length < LINE_LETTERS) {
      found[found.length - 1] = `${last} ${text}`;
    } else {
      found.push(text);
    }
  }
  return found;
}

function srtTime(seconds) {
  const all = Math.round(seconds * 1000);
  const part = (size, unit, digits = 2) =>
    String(Math.floor(all / unit) % size).padStart(digits, "0");
  return `${part(1000, 3_600_000)}:${part(60, 60_000)}:${part(60, 1000)},${part(1000, 1, 3)}`;
}

// A WAV file of 16-bit samples of one channel.
export function wavFile(chunks, rate, name) {
  const size = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  const head = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => {
    for (let i = 0; i < letters.length; i += 1) head.setUint8(at + i, letters.charCodeAt(i));
  };
  text(0, "RIFF");
  head.setUint32(4, 36 + size, true);
  text(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true);
  head.setUint16(22, 1, true);
  head.setUint32(24, rate, true);
  head.setUint32(28, 2 * rate, true);
  head.setUint16(32, 2, true);
  head.setUint16(34, 16, true);
  text(36, "data");
  head.setUint32(40, size, true);
  return new File([head, ...chunks], name, { type: "audio/wav" });
}
