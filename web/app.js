/** The page: chooses a network and a sound, hands both to the worker, and shows what comes back while it comes. */

import { clock, open, SoundError } from "./lib/decode.js";
import { Cancelled, Listener } from "./lib/listener.js";
import { describe } from "./lib/metadata.js";
import { openMicrophone } from "./lib/microphone.js";
import { ADVICE, fetched, given, listed } from "./lib/networks.js";
import { Result } from "./lib/result.js";
import { $, percent, ResultView } from "./lib/view.js";
import { countWindows } from "./lib/windows.js";

const SILENCE = 1e-4; // peak below which a recording is silent: -80 dB of full scale
const MOST_LIVE = 3600; // s of microphone
const query = new URLSearchParams(location.search);
const debug = query.has("debug") ? (globalThis.maestDebug = { pcm: [], rate: 0 }) : null; // for tests: docs/browser.md
const limits = debug && query.has("piece") ? { wholeBytes: 0, pieceSeconds: Number(query.get("piece")) } : {};

let listener = null;
let model = null; // the loaded network's description
let loaded = null; // the last one that was: { model, about, choice (in the list, or "own"), name }
let chosen = 0; // how often a network was: only the newest choice counts
let offered = []; // of the list
let running = null; // { kind: "file" | "live", stop }
let result = null;
let shown = null; // what the result is of: { name, file (null: the microphone), network (its name), model, hop }
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
  $("hop").disabled = running?.kind === "live";
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

/** The list of networks with `choice` chosen; "own": behind them the user's own, of this name. */
function list(choice, name) {
  const options = offered.map((one, i) => new Option(one.name, String(i)));
  if (choice === "own") options.push(new Option(`${name}, from this device`, "own"));
  $("model").replaceChildren(...(options.length ? options : [new Option("none in web/models yet", "")]));
  if (options.length) $("model").value = choice;
}

/** Load a network (as lib/networks.js gives it). One that cannot be used leaves the one before in its place. */
async function useModel(load) {
  const mine = ++chosen;
  halt();
  complain(null);
  model = null;
  enable();
  say("Loading the network …");
  progress(undefined);
  try {
    const { metadata, onnx, pair, choice, name } = await load();
    const found = describe(metadata);
    if (mine !== chosen) return;
    const { threads } = await listener.load(onnx, found, pair);
    const about = `${found.name}: ${found.about}. Computing with ${many(threads, "thread")}.`;
    loaded = { model: found, about, choice, name }; // what the worker holds, also when another was chosen meanwhile
    if (mine !== chosen) return;
    say("Ready: choose a file, or listen to the microphone.");
  } catch (error) {
    if (mine !== chosen) return;
    complain(error);
    say(loaded ? `That network cannot be used. ${loaded.name} is still loaded.` : "No network is loaded.");
  }
  if (loaded) {
    model = loaded.model;
    list(loaded.choice, loaded.name);
  }
  $("model-about").textContent = loaded?.about ?? "";
  progress(null);
  enable();
  hearAgain();
}

// ---- the sound
const hop = () => Math.max(1, Math.round(model.samples * Number($("hop").value)));

function begin(name, file) {
  complain(null);
  result = new Result(model.classes);
  shown = { name, file, network: loaded.name, model, hop: hop() };
  view.begin(shown);
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

/** Nothing is shown, and nothing can be saved. */
function clear() {
  view.hide();
  result = shown = null;
  enable();
}

/** What is shown was heard by one network with one step: where others are chosen by now, it is heard again. */
function hearAgain() {
  if (!model || !shown || (shown.model === model && shown.hop === hop())) return;
  if (shown.file) useFile(shown.file);
  else if (shown.model === model) say("The microphone's sound is not kept: the new step holds when you listen again.");
  else {
    clear();
    say("Ready. The microphone's sound is not kept: listen again to hear it with this network.");
  }
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
    if (!result.windows.length) clear();
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
    clear();
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
      clear();
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
  if (model.random) notices.push("RANDOM weights: these tags say nothing about the music.");
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
  link.download = `${shown.name.replace(/\.[^.]*$/, "")}.${shown.network}.tags.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// ---- wiring
$("model").addEventListener("change", ({ target }) => {
  if (target.value !== "own" && target.value !== "") useModel(() => fetched(offered[Number(target.value)], target.value));
});
$("own").addEventListener("change", ({ target }) => {
  const files = [...target.files];
  if (files.length) useModel(() => given(files));
});
$("file").addEventListener("change", ({ target }) => target.files[0] && useFile(target.files[0]));
for (const id of ["own", "file"]) {
  $(id).addEventListener("click", ({ target }) => (target.value = "")); // the same file may be chosen again
}
$("hop").addEventListener("change", hearAgain);
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
    if (listener && running?.kind !== "live") useModel(() => given(files));
  } else if (files.length && running?.kind !== "live") {
    if (model) useFile(files[0]);
    else complain(new Error("Choose a network first."));
  }
});

try {
  await startWorker();
  offered = await listed();
  list("0");
  if (offered.length) await useModel(() => fetched(offered[0], "0"));
  else {
    say("No network is loaded.");
    complain(new Error(ADVICE));
  }
} catch (error) {
  complain(error);
  say("This page cannot run here.");
}
enable();
