/** Gathers what comes in and hands it on in blocks: messages per 128 frames would be too many. */
const BLOCK = 4096; // frames

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.filled = 0;
    this.channels = [];
  }

  process([input]) {
    if (!input.length) return true;
    if (this.channels.length !== input.length) {
      this.channels = input.map(() => new Float32Array(BLOCK));
      this.filled = 0;
    }
    input.forEach((samples, c) => this.channels[c].set(samples, this.filled));
    this.filled += input[0].length;
    if (this.filled >= BLOCK) {
      this.port.postMessage(this.channels, this.channels.map((c) => c.buffer));
      this.channels = input.map(() => new Float32Array(BLOCK));
      this.filled = 0;
    }
    return true;
  }
}

registerProcessor("capture", Capture);
