/** The worker as the page sees it: one network, one job at a time, answers as promises and callbacks. */

export class Listener {
  /** @param {{onLoading: Function, onScores: Function, onCrash: Function}} handlers */
  constructor(handlers) {
    this.handlers = handlers;
    this.jobs = 0;
    this.loads = 0;
    this.current = null;
    this.waits = new Map();
    this.worker = new Worker(new URL("../worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => this.#on(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      const error = new Error(`The page's worker stopped: ${event.message ?? "it cannot be loaded"}.`);
      for (const key of [...this.waits.keys()]) this.#settle(key, null, error);
      handlers.onCrash(error);
    };
  }

  #on(data) {
    if (data.type === "loading") return this.handlers.onLoading(data.received, data.total);
    if (data.type === "loaded") return this.#settle(`load ${data.load}`, data);
    if (data.type === "failed") {
      const error = new Error(data.message);
      if (data.job === undefined) return this.#settle(`load ${data.load}`, null, error);
      if (data.job !== this.current) return undefined;
      this.failure = error;
      this.#settle("taken", null, error);
      return this.#settle("done", null, error);
    }
    if (data.job !== this.current) return undefined;
    if (data.type === "scores") return this.handlers.onScores(data);
    if (data.type === "taken" || data.type === "done") return this.#settle(data.type, data);
    return undefined;
  }

  #settle(key, value, error) {
    const wait = this.waits.get(key);
    this.waits.delete(key);
    if (error) wait?.reject(error);
    else wait?.resolve(value);
  }

  #wait(key) {
    return new Promise((resolve, reject) => this.waits.set(key, { resolve, reject }));
  }

  /** Load a network: its address or file, its description, the names of both files. Rejects with what is wrong with it. */
  load(onnx, model, pair) {
    const load = ++this.loads;
    const loaded = this.#wait(`load ${load}`);
    this.worker.postMessage({ type: "load", load, onnx, model, pair });
    return loaded;
  }

  /** Begin a recording of a rate; hop in samples of the network's rate. live: windows may be left out to keep up. */
  start(rate, hop, live = false) {
    this.current = ++this.jobs;
    this.failure = null;
    this.worker.postMessage({ type: "start", job: this.current, rate, hop, live });
  }

  /** Hand a block over, [C][n]; resolves when the next may come. The arrays are the worker's from here on. */
  take(channels) {
    if (this.failure) return Promise.reject(this.failure);
    const taken = this.#wait("taken");
    this.post(channels);
    return taken;
  }

  /** Hand a block over and do not wait. */
  post(channels) {
    this.worker.postMessage({ type: "pcm", job: this.current, channels }, channels.map((c) => c.buffer));
  }

  /** The recording ends here: what is known of it, once its last windows are scored. */
  end() {
    if (this.failure) return Promise.reject(this.failure);
    const done = this.#wait("done");
    this.worker.postMessage({ type: "end", job: this.current });
    return done;
  }

  /** Give the recording up. */
  cancel() {
    if (this.current === null) return;
    this.worker.postMessage({ type: "cancel", job: this.current });
    this.current = null;
    this.waits.delete("done");
    this.#settle("taken", null, new Cancelled());
  }
}

/** The recording was given up: nothing went wrong. */
export class Cancelled extends Error {}
