/**
 * The page's work behind the scenes: loads a network, and turns decoded sound into probabilities, window by window.
 *
 * In: { type: "load", load, onnx: URL or File, model, pair } | { type: "start", job, rate, hop, live } |
 *     { type: "pcm", job, channels } | { type: "end", job } | { type: "cancel", job }
 * Out: { type: "loading", received, total } | { type: "loaded", load, threads, seconds } |
 *     { type: "failed", message, load or job } | { type: "taken", job } behind every pcm | { type: "scores", job, windows, scores, dropped } | { type: "done", job, ... }
 */

import { Resampler } from "./lib/resample.js";
import { mix, Windower } from "./lib/windows.js";

const RUNTIME = new URL("./node_modules/onnxruntime-web/dist/", import.meta.url);
const BATCH_SAMPLES = 640_000; // of windows in one pass, together: 8 of MAEST's 5 s, 10 of CLMR's
const MAX_THREADS = 4;

let ort = null;
let session = null;
let model = null;
let job = null;
let turn = Promise.resolve(); // messages are worked off one after the other

self.onmessage = ({ data }) => {
  if (data.type === "cancel") {
    if (job?.id === data.job) job.cancelled = true;
    return;
  }
  if (data.type === "pcm" && job?.live && job.id === data.job) job.waiting += 1;
  turn = turn.then(async () => {
    try {
      await actions[data.type](data);
    } catch (error) {
      if (data.job !== undefined && job?.id === data.job) job = null;
      self.postMessage({ type: "failed", load: data.load, job: data.job, message: error?.message ?? String(error) });
    }
  });
};

const actions = {
  async load({ load, onnx, model: wanted, pair }) {
    const began = performance.now();
    await startRuntime();
    const bytes = typeof onnx === "string" ? await download(onnx) : new Uint8Array(await onnx.arrayBuffer());
    await belong(bytes, wanted.file, pair);
    let found; // the network before stays until this one has shown that it can be used
    try {
      found = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
    } catch (error) {
      throw new Error(`The network cannot be read: ${error.message ?? error}`);
    }
    for (const [kind, name, names] of [
      ["input", wanted.input, found.inputNames],
      ["output", wanted.output, found.outputNames],
    ]) {
      if (!names.includes(name)) {
        await found.release();
        throw new Error(`The .onnx file does not belong to its .json: it has no ${kind} ${name} (it has ${names.join(", ")}).`);
      }
    }
    await session?.release();
    [session, model] = [found, wanted];
    self.postMessage({ type: "loaded", load, threads: ort.env.wasm.numThreads, seconds: (performance.now() - began) / 1000 });
  },

  start({ job: id, rate, hop, live }) {
    job = {
      id,
      live,
      rate,
      cancelled: false,
      resampler: new Resampler(rate, model.rate),
      windower: new Windower(model.samples, hop),
      pending: [],
      waiting: 0,
      windows: 0,
      dropped: 0,
      peak: 0,
    };
  },

  async pcm({ job: id, channels }) {
    if (job?.id !== id || job.cancelled) return;
    job.waiting -= 1;
    const mono = mix(channels);
    for (let i = 0; i < mono.length; i++) {
      const size = Math.abs(mono[i]);
      if (size > job.peak) job.peak = size;
      else if (size !== size || size === Infinity) throw new Error("The sound holds values that are no numbers; it cannot be used.");
    }
    job.pending.push(...job.windower.push(job.resampler.push(mono)));
    if (job.live) await runLive();
    else await runFull(false);
    self.postMessage({ type: "taken", job: id });
  },

  async end({ job: id }) {
    if (job?.id !== id || job.cancelled) return;
    job.pending.push(...job.windower.push(job.resampler.end()));
    if (!job.live || job.windows === 0) job.pending.push(...job.windower.end());
    await runFull(true);
    const { windower, windows, dropped, peak } = job;
    if (job.cancelled) return;
    job = null;
    const seconds = windower.total / model.rate;
    self.postMessage({ type: "done", job: id, seconds, windows, dropped, peak, short: windower.total < model.samples });
  },
};

async function startRuntime() {
  if (ort) return;
  try {
    ort = await import(new URL("ort.wasm.min.mjs", RUNTIME));
  } catch {
    throw new Error("onnxruntime-web is not there: run `npm ci` in the folder web/ and load this page again.");
  }
  ort.env.wasm.wasmPaths = RUNTIME.href;
  // threads need shared memory, which browsers give to pages with the headers of serve.py only
  ort.env.wasm.numThreads = self.crossOriginIsolated ? threads() : 1;
  ort.env.logLevel = "error";
}

/** Half of the processors: the rest decodes, draws and plays. */
function threads() {
  return Math.max(1, Math.min(MAX_THREADS, Math.floor((navigator.hardwareConcurrency || 1) / 2)));
}

async function download(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} cannot be fetched: ${answer.status} ${answer.statusText}.`);
  const total = Number(answer.headers.get("Content-Length")) || 0;
  const parts = [];
  let received = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    received += value.length;
    self.postMessage({ type: "loading", received, total });
  }
  const bytes = new Uint8Array(received);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Refuse an .onnx file that is not the one its .json names: its tags would go by another network's names. */
async function belong(bytes, file, [onnx, json]) {
  if (!file) return;
  const compare = (came, wanted) => {
    if (came === wanted) return;
    throw new Error(
      `${onnx} does not belong to ${json}: it has ${came}, and ${json} was written for a file with ${wanted}. ` +
        "Take both files from one export, or export the network again.",
    );
  };
  const size = (n) => `${n.toLocaleString("en")} bytes`;
  compare(size(bytes.length), size(file.bytes));
  if (!crypto.subtle) return; // browsers give it to secure pages only
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  compare(`the sha256 ${sha256}`, `the sha256 ${file.sha256}`);
}

/** Score the windows that wait: the first one by itself, so that tags are there soon, then in batches; an incomplete one only at the end. */
async function runFull(all) {
  const most = Math.max(1, Math.floor(BATCH_SAMPLES / model.samples));
  for (;;) {
    const size = job.windows === 0 ? 1 : most;
    if (job.cancelled || job.pending.length < (all ? 1 : size)) return;
    await score(job.pending.splice(0, size));
  }
}

/** Score the newest window; older ones are left out when the network is slower than the sound. */
async function runLive() {
  if (job.waiting > 0 || !job.pending.length) return;
  const newest = job.pending.pop();
  job.dropped += job.pending.length;
  job.pending = [];
  await score([newest]);
}

async function score(windows) {
  const { samples, classes, input, output, rate } = model;
  const wave = new Float32Array(windows.length * samples);
  windows.forEach((window, i) => wave.set(window.samples, i * samples));
  const tensor = new ort.Tensor("float32", wave, [windows.length, samples]);
  const found = await session.run({ [input]: tensor }, [output]);
  const scores = Float32Array.from(found[output].data);
  for (const name in found) found[name].dispose();
  tensor.dispose();
  if (scores.length !== windows.length * classes.length) {
    throw new Error(`The network gave ${scores.length} values for ${windows.length} windows of ${classes.length} tags.`);
  }
  if (job.cancelled) return;
  job.windows += windows.length;
  const times = windows.map(({ start, stop }) => [start / rate, stop / rate]);
  self.postMessage({ type: "scores", job: job.id, windows: times, scores, dropped: job.dropped }, [scores.buffer]);
}

self.postMessage({ type: "ready" });
