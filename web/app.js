/** The page: chooses a network and a sound, hands both to the worker, and shows what comes back while it comes. */

import { clock, open, SoundError } from "./lib/decode.js";
import { Cancelled, Listener } from "./lib/listener.js";
import { describe, ModelError } from "./lib/metadata.js";
import { openMicrophone } from "./lib/microphone.js";
import { Result } from "./lib/result.js";
import { $, percent, ResultView } from "./lib/view.js";
import { countWindows } from "./lib/windows.js";

const LIST = "models/index.json";
const EXPORT = "python ex_maest.py export with … export.format=onnx export.out=web/models/NAME.onnx";
const SILENCE = 1e-4; // peak below which a recording is silent: -80 dB of full scale
const MOST_LIVE = 3600; // s of microphone
const query = new URLSearchParams(location.search);
const debug = query.has("debug") ? (globalThis.maestDebug = { pcm: [], rate: 0 }) : null; // for tests: docs/browser.md
const limits = debug && query.has("piece") ? { wholeBytes: 0, pieceSeconds: Number(query.get("piece")) } : {};

let listener = null;
let model = null; // the loaded network's description
let loaded = null; // the last one that was: { model, about, choice (in the list), own (its file's name, or nothing) }
let offered = []; // of the list
let running = null; // { kind: "file" | "live", stop }
let result = null;
const view = new ResultView();

// ---- messages
function say(text) {
  $("status").textContent = text;
}

/** What went wrong, or nothing. */
function complain(error) {
  $("message").hidden = !error;
  $("message").textContent = error ? error.message : "";
  if (error) $("message").scrollIntoView({ block: "nearest" });
}

const many = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
const leftOut = (n) => `${many(n, "window")} ${n === 1 ? "was" : "were"} left out`;

function progress(value) {
  $("progress").hidden = value === null;
  if (value === undefined) $("progress").removeAttribute("value");
  else if (value !== null) $("progress").value = value;
}

function enable() {
  $("file").disabled = $("listen").disabled = !model || running?.kind === "live";
  $("model").disabled = $("own").disabled = !listener || running?.kind === "live";
  $("stop").hidden = !running;
  $("save").disabled = !result?.windows.length || Boolean(running);
}

// ---- the network
async function startWorker() {
  if (typeof WebAssembly !== "object") {
    throw new Error("This browser has no WebAssembly (or it is switched off), and networks need it. Any current Firefox, Chrome, Edge or Safari has it.");
  }
  if (typeof Worker !== "function" || typeof OfflineAudioContext !== "function") {
    throw new Error("This browser lacks workers or WebAudio; the page needs both. Any current Firefox, Chrome, Edge or Safari has them.");
  }
  listener = new Listener({
    onLoading: (received, total) => {
      progress(total ? received / total : undefined);
      say(`Loading the network: ${(received / 1e6).toFixed(0)} MB${total ? ` of ${(total / 1e6).toFixed(0)} MB` : ""} …`);
    },
    onScores,
    onCrash: (error) => {
      complain(error);
      listener = model = loaded = null;
      finish("Stopped. Load the page again.");
    },
  });
}

async function listModels() {
  const answer = await fetch(LIST);
  offered = answer.ok ? (await answer.json()).models : [];
  list("0");
  return offered.length > 0;
}

/** The list of networks with `choice` chosen, and behind them one of the user's own. */
function list(choice, own) {
  const options = offered.map(({ name }, i) => new Option(name, String(i)));
  if (own) options.push(new Option(own, "own"));
  $("model").replaceChildren(...(options.length ? options : [new Option("none in web/models yet", "")]));
  if (options.length) $("model").value = choice;
}

/** Load a network. One that cannot be used leaves the one before in its place. load: gives { metadata, onnx, choice, own }. */
async function useModel(load) {
  halt();
  complain(null);
  model = null;
  enable();
  say("Loading the network …");
  progress(undefined);
  try {
    const { metadata, onnx, choice, own } = await load();
    const found = describe(metadata);
    const { threads } = await listener.load(onnx, found);
    const about = `${found.name}: ${found.about}. Computing with ${many(threads, "thread")}.`;
    loaded = { model: found, about, choice, own };
    say("Ready: choose a file, or listen to the microphone.");
  } catch (error) {
    complain(error);
    say(loaded ? `That network cannot be used. ${loaded.model.name} is still loaded.` : "No network is loaded.");
  }
  if (loaded) {
    model = loaded.model;
    list(loaded.choice, loaded.own);
  }
  $("model-about").textContent = loaded?.about ?? "";
  progress(null);
  enable();
}

async function fetchModel(choice) {
  const { onnx, metadata } = offered[Number(choice)];
  const answer = await fetch(`models/${encodeURIComponent(metadata)}`);
  if (!answer.ok) throw new ModelError(`models/${metadata} cannot be fetched: ${answer.status} ${answer.statusText}.`);
  const address = new URL(`models/${encodeURIComponent(onnx)}`, location.href).href;
  return { metadata: parsed(await answer.text(), metadata), onnx: address, choice };
}

async function ownModel(files) {
  const [onnx, json] = [".onnx", ".json"].map((suffix) => files.find((file) => file.name.toLowerCase().endsWith(suffix)));
  if (!onnx || !json) throw new ModelError("Choose two files together: the network (.onnx) and its metadata (.json), as `export` writes them.");
  const metadata = parsed(await json.text(), json.name);
  return { metadata, onnx: await onnx.arrayBuffer(), choice: "own", own: onnx.name };
}

function parsed(text, name) {
  try {
    return JSON.parse(text);
  } catch {
    throw new ModelError(`${name} is not JSON: it is not the metadata that an export writes.`);
  }
}

// ---- the sound
const hop = () => Math.max(1, Math.round(model.samples * Number($("hop").value)));

function begin(name, source) {
  complain(null);
  result = new Result(model.classes);
  view.begin(name, source);
  if (debug) Object.assign(debug, { pcm: [], rate: 0, result, model, done: null });
}

function keep(channels) {
  if (debug && query.get("debug") !== "results") debug.pcm.push(channels.map((c) => c.slice()));
}

function onScores({ windows, scores, dropped }) {
  result.add(windows, scores);
  view.show(result);
  if (running?.kind === "live") {
    const left = dropped ? ` ${leftOut(dropped)}: this device is slower than the sound.` : "";
    say(`Listening, ${clock(result.seconds)}.${left}`);
    view.now(result, result.seconds);
  } else if (running?.expected) {
    progress(Math.min(1, result.windows.length / running.expected));
    say(`Listening: ${percent(Math.min(1, result.windows.length / running.expected))} of ${clock(running.seconds)}.`);
  } else say(`Listening: ${clock(result.seconds)} so far.`);
}

async function useFile(file) {
  if (!model) return;
  halt();
  const mine = { kind: "file", stop: () => listener.cancel() };
  running = mine;
  begin(file.name, file);
  enable();
  say(`Decoding ${file.name} …`);
  progress(undefined);
  try {
    const source = await open(file, await view.mediaSeconds(), limits);
    if (running !== mine) return;
    if (debug) debug.rate = source.rate;
    mine.seconds = source.seconds;
    mine.expected = source.seconds && countWindows(Math.ceil(source.seconds * model.rate), model.samples, hop());
    listener.start(source.rate, hop());
    for await (const channels of source.blocks()) {
      if (running !== mine) return;
      keep(channels);
      await listener.take(channels);
    }
    const done = await listener.end();
    if (running !== mine) return;
    if (!done.windows) throw new SoundError(`${file.name} holds no samples.`);
    settle(done);
  } catch (error) {
    if (error instanceof Cancelled || running !== mine) return;
    listener?.cancel();
    complain(error);
    if (!result.windows.length) view.hide();
    finish("Nothing was heard.");
  }
}

async function useMicrophone() {
  halt();
  const mine = { kind: "live", stop: () => {} };
  running = mine;
  begin("the microphone", null);
  enable();
  say("Waiting for the microphone …");
  try {
    let received = 0;
    const microphone = await openMicrophone(
      (channels) => {
        if (running !== mine) return;
        received += channels[0].length;
        keep(channels);
        listener.post(channels);
        if (listener.failure || received > MOST_LIVE * microphone.rate) endLive(mine);
      },
      (message) => {
        complain(new Error(message));
        endLive(mine);
      },
    );
    mine.microphone = microphone;
    if (running !== mine) {
      await microphone.stop();
      return;
    }
    if (debug) debug.rate = microphone.rate;
    listener.start(microphone.rate, hop(), true);
    microphone.begin();
    mine.stop = () => endLive(mine);
    say(`Listening. The first tags come after ${(model.samples / model.rate).toFixed(1)} s.`);
  } catch (error) {
    complain(error);
    view.hide();
    finish("The microphone is off.");
  }
}

async function endLive(mine) {
  if (mine.ending) return;
  mine.ending = true;
  await mine.microphone.stop();
  try {
    const done = await listener.end();
    if (running !== mine) return;
    if (done.windows) settle(done);
    else {
      view.hide();
      finish("Nothing was heard: the microphone gave no sound.");
    }
  } catch (error) {
    complain(error);
    finish("The microphone is off.");
  }
}

function settle({ seconds, peak, short, dropped }) {
  result.seconds = Math.max(result.seconds, seconds);
  const window = (model.samples / model.rate).toFixed(2);
  const notices = [];
  if (peak < SILENCE) notices.push("This recording is silent: the tags are what the network answers to silence, and say nothing of music.");
  if (short) notices.push(`It is shorter than one window (${seconds.toFixed(2)} of ${window} s): it was set in the middle of silence.`);
  if (dropped) notices.push(`${leftOut(dropped)}, because this device is slower than the sound.`);
  view.settle(result, notices.join(" "));
  if (debug) debug.done = { seconds, peak, short, dropped };
  const best = Result.largest(result.mean(), 3).map((k) => result.classes[k]);
  finish(`Done: ${many(result.windows.length, "window")}, ${clock(seconds)}. Strongest: ${best.join(", ")}.`);
}

function finish(text) {
  running = null;
  progress(null);
  say(text);
  enable();
}

/** Stop what runs; what was heard so far stays. */
function halt() {
  const was = running;
  if (!was) return;
  if (was.kind === "live") {
    was.stop();
    return;
  }
  was.stop();
  if (result?.windows.length) view.settle(result, "Stopped before its end: these are the tags so far.");
  else view.hide();
  finish("Stopped.");
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([result.csv()], { type: "text/csv" }));
  link.download = `${view.name.replace(/\.[^.]*$/, "")}.tags.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// ---- wiring
$("model").addEventListener("change", ({ target }) => {
  if (target.value !== "own" && target.value !== "") useModel(() => fetchModel(target.value));
});
$("own").addEventListener("change", ({ target }) => target.files.length && useModel(() => ownModel([...target.files])));
$("file").addEventListener("change", ({ target }) => target.files[0] && useFile(target.files[0]));
$("file").addEventListener("click", ({ target }) => (target.value = "")); // the same file may be chosen again
$("listen").addEventListener("click", useMicrophone);
$("stop").addEventListener("click", () => {
  halt();
  $("listen").focus();
});
$("save").addEventListener("click", save);

let inside = 0; // dragenter and dragleave come for every element that is crossed
const dropping = (change) => {
  inside = change === 0 ? 0 : Math.max(0, inside + change);
  document.body.classList.toggle("dropping", inside > 0);
};
addEventListener("dragenter", () => dropping(1));
addEventListener("dragleave", () => dropping(-1));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  dropping(0);
  const files = [...event.dataTransfer.files];
  if (files.some((file) => /\.onnx$/i.test(file.name))) {
    if (listener && running?.kind !== "live") useModel(() => ownModel(files));
  } else if (files.length && running?.kind !== "live") {
    if (model) useFile(files[0]);
    else complain(new Error("Choose a network first."));
  }
});

try {
  await startWorker();
  if (await listModels()) await useModel(() => fetchModel("0"));
  else {
    say("No network is loaded.");
    complain(new Error(`There is no exported network in web/models yet. Make one with: ${EXPORT}. Or choose files from this device.`));
  }
} catch (error) {
  complain(error);
  say("This page cannot run here.");
}
enable();
