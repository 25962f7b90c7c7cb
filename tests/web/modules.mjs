/** The page's modules without a browser: node modules.mjs JOB ARGUMENTS..., the answer as JSON on stdout. */
import fs from "node:fs";
import { clock } from "../../web/lib/decode.js";
import { inspect } from "../../web/lib/header.js";
import { describe } from "../../web/lib/metadata.js";
import { Resampler } from "../../web/lib/resample.js";
import { Result } from "../../web/lib/result.js";
import { countWindows, mix, Windower } from "../../web/lib/windows.js";

const floats = (file) => {
  const bytes = fs.readFileSync(file);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
};

const jobs = {
  /** Samples of a file at another rate, pushed in blocks, into another file. */
  resample(from, to, rateIn, rateOut, block) {
    const samples = floats(from);
    const stream = new Resampler(Number(rateIn), Number(rateOut));
    const parts = [];
    for (let at = 0; at < samples.length; at += Number(block)) parts.push(stream.push(samples.slice(at, at + Number(block))));
    parts.push(stream.end());
    fs.writeFileSync(to, Buffer.concat(parts.map((p) => Buffer.from(p.buffer, p.byteOffset, p.byteLength))));
    return parts.length;
  },
  /** For each [n, length, hop, block]: [start, stop, first sample, last sample] of each window of the samples 1..n, and the count foretold. */
  windows(cases) {
    return JSON.parse(cases).map(([n, length, hop, block]) => {
      const windower = new Windower(length, hop);
      const found = [];
      for (let at = 0; at < n; at += block) {
        found.push(...windower.push(Float32Array.from({ length: Math.min(block, n - at) }, (_, i) => at + i + 1)));
      }
      found.push(...windower.end());
      return [found.map(({ start, stop, samples }) => [start, stop, samples[0], samples[length - 1], samples.length]), countWindows(n, length, hop)];
    });
  },
  mix: (channels) => [...mix(JSON.parse(channels).map((c) => Float32Array.from(c)))],
  async inspect(...files) {
    const found = [];
    for (const file of files) {
      const { format, rate, channels, seconds } = await inspect(new Blob([fs.readFileSync(file)]));
      found.push({ format, rate, channels, seconds });
    }
    return found;
  },
  clock: (cases) => JSON.parse(cases).map(([seconds, tenths]) => clock(seconds, tenths)),
  describe(metadata) {
    try {
      return describe(JSON.parse(metadata));
    } catch (error) {
      return { error: error.message };
    }
  },
  result(classes, windows, scores, times) {
    const result = new Result(JSON.parse(classes));
    result.add(JSON.parse(windows), Float32Array.from(JSON.parse(scores)));
    const { length } = JSON.parse(classes);
    return {
      mean: [...result.mean()],
      largest: Result.largest(result.mean(), length),
      bounds: result.bounds(),
      at: JSON.parse(times).map((t) => result.at(t)),
      csv: result.csv(),
    };
  },
};

const [, , job, ...rest] = process.argv;
process.stdout.write(JSON.stringify(await jobs[job](...rest)));
