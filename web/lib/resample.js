/**
 * Resampling by a windowed sinc in polyphase form, for a stream of blocks.
 *
 * The filter is soxr's HQ, its three numbers fitted to that one's impulse response at 2 : 1 (equal to 3e-7): flat to 0.914 of the lower Nyquist
 * frequency, nothing from 1.0 of it on (126 dB down), linear phase, no delay. At other ratios soxr's gain gives way by up to 0.1 % towards 0.914;
 * this one's does not. Taps are a Kaiser window's (Kaiser 1974). Sample m of the output stands at input time m * rateIn / rateOut; there are
 * ceil(n * rateOut / rateIn) of them; the signal is 0 before its first and behind its last sample.
 */

const CUTOFF = 0.956872; // of the lower Nyquist frequency: the middle of the transition
const HALF_LENGTH = 97.24; // of the window, periods of the lower rate
const BETA = 13.04; // of the Kaiser window
const MAX_PHASES = 2048; // more than that (rates without a common divisor) are interpolated between

/** The modified Bessel function I0, by its series. */
function bessel0(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

export function greatestCommonDivisor(a, b) {
  return b ? greatestCommonDivisor(b, a % b) : a;
}

/** Samples that `n` become. The expression is the Python suite's, rounding included, so that lengths agree. */
export function resampledLength(n, rateIn, rateOut) {
  return rateIn === rateOut ? n : Math.ceil(n * (rateOut / rateIn));
}

/** Taps [phases + 1][2 * half]: of phase p they are centred p / phases behind tap half - 1. Each phase sums to 1. */
function design(rateIn, rateOut, phases) {
  const scale = Math.min(1, rateOut / rateIn); // the lower rate, of the input's
  const reach = HALF_LENGTH / scale; // input samples
  const half = Math.ceil(reach) + 1;
  const cutoff = CUTOFF * scale;
  const norm = bessel0(BETA);
  const taps = [];
  for (let p = 0; p <= phases; p++) {
    const row = new Float64Array(2 * half);
    let sum = 0;
    for (let k = 0; k < 2 * half; k++) {
      const t = k - (half - 1) - p / phases; // from the centre, input samples
      const inside = 1 - (t / reach) ** 2;
      if (inside < 0) continue;
      const sinc = t === 0 ? 1 : Math.sin(Math.PI * cutoff * t) / (Math.PI * cutoff * t);
      row[k] = sinc * (bessel0(BETA * Math.sqrt(inside)) / norm);
      sum += row[k];
    }
    taps.push(row.map((tap) => tap / sum));
  }
  return { taps, half };
}

/** A stream at another rate. `push(block)` gives the samples that are certain by now, `end()` the rest; all of them mono Float32Array. */
export class Resampler {
  constructor(rateIn, rateOut) {
    for (const rate of [rateIn, rateOut]) {
      if (!Number.isInteger(rate) || rate < 1) throw new RangeError(`A sample rate is a whole number of Hz; got ${rate}.`);
    }
    this.rateIn = rateIn;
    this.rateOut = rateOut;
    this.received = 0;
    this.given = 0;
    if (rateIn === rateOut) return;
    const divisor = greatestCommonDivisor(rateIn, rateOut);
    this.up = rateOut / divisor;
    this.down = rateIn / divisor;
    this.phases = Math.min(this.up, MAX_PHASES);
    Object.assign(this, design(rateIn, rateOut, this.phases));
    this.held = new Float32Array(this.half - 1); // zeros before the first sample
    this.first = 1 - this.half; // input position of held[0]
  }

  push(block) {
    this.received += block.length;
    if (this.rateIn === this.rateOut) {
      this.given += block.length;
      return block;
    }
    const joined = new Float32Array(this.held.length + block.length);
    joined.set(this.held);
    joined.set(block, this.held.length);
    this.held = joined;
    // output m needs inputs up to floor(m * down / up) + half
    const last = Math.floor(((this.received - this.half) * this.up - 1) / this.down);
    return this.#compute(Math.max(this.given, last + 1));
  }

  end() {
    if (this.rateIn === this.rateOut) return new Float32Array(0);
    const stop = resampledLength(this.received, this.rateIn, this.rateOut);
    const needed = Math.floor(((stop - 1) * this.down) / this.up) + this.half + 1 - this.first;
    if (needed > this.held.length) {
      const padded = new Float32Array(needed);
      padded.set(this.held);
      this.held = padded;
    }
    return this.#compute(Math.max(this.given, stop));
  }

  #compute(stop) {
    const out = new Float32Array(stop - this.given);
    const { held, half, taps, phases, up, down } = this;
    for (let i = 0; i < out.length; i++) {
      const ticks = (this.given + i) * down; // position in 1 / up of an input sample
      const whole = Math.floor(ticks / up);
      const behind = ticks - whole * up; // of that sample, in the same units
      const part = phases === up ? behind : (behind / up) * phases; // exact where there is a phase for each
      const p = Math.floor(part);
      const from = whole - (half - 1) - this.first;
      const row = taps[p];
      let sum = 0;
      for (let k = 0; k < row.length; k++) sum += row[k] * held[from + k];
      const between = part - p;
      if (between > 0) {
        const next = taps[p + 1];
        let other = 0;
        for (let k = 0; k < next.length; k++) other += next[k] * held[from + k];
        sum += between * (other - sum);
      }
      out[i] = sum;
    }
    this.given = stop;
    const keep = Math.floor((stop * down) / up) - (half - 1) - this.first;
    if (keep > 0) {
      this.held = held.slice(keep);
      this.first += keep;
    }
    return out;
  }
}

/** A whole signal at another rate. */
export function resample(signal, rateIn, rateOut) {
  const stream = new Resampler(rateIn, rateOut);
  const parts = [stream.push(signal), stream.end()];
  const out = new Float32Array(parts[0].length + parts[1].length);
  out.set(parts[0]);
  out.set(parts[1], parts[0].length);
  return out;
}
