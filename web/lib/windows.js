/**
 * How a recording of any length is cut into windows of the network's length: the rule of models/windows.py with tail "shift", on samples.
 *
 * Windows start every `hop` samples from 0; what is left behind the last full one is heard by one more window that ends at the last sample,
 * unless it is shorter than 1 % of a window. A recording shorter than one window is one window, centred in silence.
 */

export const LEAST_TAIL = 0.01; // share of a window

/** Channels [C][n] as their mean [n]: two are 0.5 * (L + R), as in Python. */
export function mix(channels) {
  if (channels.length === 1) return channels[0];
  const out = new Float32Array(channels[0].length);
  if (channels.length === 2) {
    const [left, right] = channels;
    for (let i = 0; i < out.length; i++) out[i] = 0.5 * Math.fround(left[i] + right[i]);
    return out;
  }
  for (let i = 0; i < out.length; i++) {
    let sum = 0;
    for (const channel of channels) sum += channel[i];
    out[i] = sum / channels.length;
  }
  return out;
}

/** The windows of a stream. `push(block)` and `end()` give [{ start, stop, samples }], positions in samples of the stream. */
export class Windower {
  constructor(length, hop = length) {
    if (!(length >= 1) || !(hop >= 1)) throw new RangeError(`A window and its hop are at least one sample; got ${length} and ${hop}.`);
    this.length = length;
    this.hop = hop;
    this.held = new Float32Array(4 * length);
    this.first = 0; // position of held[0]
    this.total = 0;
    this.next = 0; // start of the next full window
  }

  push(block) {
    const kept = this.total - this.first;
    if (kept + block.length > this.held.length) {
      const grown = new Float32Array(2 * (kept + block.length));
      grown.set(this.held.subarray(0, kept));
      this.held = grown;
    }
    this.held.set(block, kept);
    this.total += block.length;
    const out = [];
    while (this.next + this.length <= this.total) {
      out.push(this.#cut(this.next));
      this.next += this.hop;
    }
    // the last `length` samples stay, whatever comes: the end may need them
    const keep = Math.max(this.first, Math.min(this.next, this.total - this.length));
    if (keep - this.first >= this.length) {
      this.held.copyWithin(0, keep - this.first, this.total - this.first);
      this.first = keep;
    }
    return out;
  }

  end() {
    if (this.total === 0) return [];
    if (this.total < this.length) {
      const samples = new Float32Array(this.length);
      samples.set(this.held.subarray(0, this.total), Math.floor((this.length - this.total) / 2));
      return [{ start: 0, stop: this.total, samples }];
    }
    const heard = this.next - this.hop + this.length;
    return this.total - heard > LEAST_TAIL * this.length ? [this.#cut(this.total - this.length)] : [];
  }

  #cut(start) {
    const from = start - this.first;
    return { start, stop: start + this.length, samples: this.held.slice(from, from + this.length) };
  }
}

/** Windows of a recording of `n` samples. */
export function countWindows(n, length, hop) {
  if (n <= length) return n > 0 ? 1 : 0;
  const full = Math.floor((n - length) / hop) + 1;
  return full + (n - ((full - 1) * hop + length) > LEAST_TAIL * length ? 1 : 0);
}
