// Runs beside the page: samples of the microphone as 16-bit integers, a tenth of a second at a time.

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.chunk = new Int16Array(Math.round(sampleRate / 10));
    this.filled = 0;
    this.done = false;
    this.port.onmessage = () => {
      this.send(this.chunk.slice(0, this.filled));
      this.port.postMessage(null); // nothing more comes
      this.done = true;
    };
  }

  send(samples) {
    if (samples.length) this.port.postMessage(samples.buffer, [samples.buffer]);
  }

  process(inputs) {
    if (this.done) return false;
    const channels = inputs[0];
    const frames = channels[0]?.length ?? 0;
    for (let at = 0; at < frames; at += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[at];
      const sample = Math.max(-1, Math.min(1, sum / channels.length));
      this.chunk[this.filled] = Math.round(32767 * sample);
      this.filled += 1;
      if (this.filled === this.chunk.length) {
        this.send(this.chunk.slice());
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
