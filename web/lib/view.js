/** What the page shows of a result: player, heat map, place that plays, strongest tags, table. Redraws a few times a second. */

import { clock } from "./decode.js";
import { draw, rowsOf } from "./heatmap.js";
import { Result } from "./result.js";

export const $ = (id) => document.getElementById(id);
export const percent = (p) => `${Math.round(100 * p)} %`;

const TOP = 10;
const NOW = 3; // tags said of the place that plays
const SPEAK_EVERY = 3000; // ms between two announcements while it plays
const TABLE_ROWS = 400;
const STEP = 5; // s that an arrow key moves
const METADATA_WAIT = 5000; // ms
const REDRAW_EVERY = 250; // ms while it grows

const still = matchMedia("(prefers-reduced-motion: reduce)");

/** An item of the list of strongest tags: label, bar, value. */
function topItem() {
  const [li, label, bar, fill, value] = ["li", "span", "span", "i", "span"].map((tag) => document.createElement(tag));
  bar.className = "bar";
  bar.append(fill);
  value.className = "value";
  li.append(label, bar, value);
  return li;
}

export class ResultView {
  constructor() {
    this.file = null;
    this.result = null;
    this.address = null;
    this.spoken = { window: -1, at: 0 };
    this.player = $("player");
    this.parts = { heat: $("heat"), rows: $("rows"), axis: $("axis"), legendMax: $("legend-max"), timeline: $("timeline") };
    for (const event of ["play", "seeked", "timeupdate"]) this.player.addEventListener(event, () => this.#follow());
    this.parts.timeline.addEventListener("click", (event) => this.#click(event));
    this.parts.timeline.addEventListener("keydown", (event) => this.#key(event));
    $("details").addEventListener("toggle", () => this.#table());
    new ResizeObserver(() => this.#redraw()).observe(this.parts.timeline);
  }

  /** A recording and the network's name; file null: nothing to play. The same file again: player and table stay as they are. */
  begin({ name, file, network }) {
    this.result = null;
    this.player.pause(); // it cannot be reached until the first tags are there
    if (!file || file !== this.file) this.#play(file);
    $("name").textContent = name;
    $("network").textContent = network;
    this.#notice("");
    $("now").textContent = "";
    $("head").hidden = true;
    $("top").replaceChildren();
    $("top").setAttribute("aria-busy", "true");
    $("table").replaceChildren();
    this.spoken = { window: -1, at: 0 };
    this.parts.timeline.setAttribute("aria-disabled", String(!file));
    $("result").hidden = true;
  }

  hide() {
    $("result").hidden = true;
  }

  #play(file) {
    this.file = file;
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = file && URL.createObjectURL(file);
    this.player.hidden = !file;
    if (file) this.player.src = this.address;
    else this.player.removeAttribute("src");
    $("details").open = false;
  }

  #notice(text) {
    $("notice").hidden = !text;
    $("notice").textContent = text;
  }

  /** The length that the player finds in the file, s; null when it does not say. */
  mediaSeconds() {
    const { player } = this;
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        for (const event of ["loadedmetadata", "error"]) player.removeEventListener(event, done);
        resolve(Number.isFinite(player.duration) && player.duration > 0 ? player.duration : null);
      };
      const timer = setTimeout(done, METADATA_WAIT);
      for (const event of ["loadedmetadata", "error"]) player.addEventListener(event, done);
      if (player.readyState >= 1 || player.error) done();
    });
  }

  /** Draw what is there by now. */
  show(result) {
    this.result = result;
    if ($("result").hidden) {
      // a frame of its own lays the section and its player out, the next one draws: together they are the page's longest task
      $("result").hidden = false;
      requestAnimationFrame(() => this.#redraw());
    } else this.#redraw(REDRAW_EVERY - (performance.now() - (this.drawn ?? -Infinity)));
  }

  /** The recording is heard to its end. */
  settle(result, notice) {
    this.show(result);
    this.#notice(notice);
    $("top").setAttribute("aria-busy", "false");
    this.#table();
    this.spoken = { window: -1, at: 0 };
    this.now(result, this.player.hidden ? result.seconds : this.player.currentTime);
  }

  #redraw(wait = 0) {
    if (this.waiting || !this.result?.windows.length) return;
    this.waiting = true;
    const frame = () =>
      requestAnimationFrame(() => {
        this.waiting = false;
        this.drawn = performance.now();
        if (!this.result?.windows.length) return;
        draw(this.result, this.parts);
        this.#top();
        this.#place(this.player.hidden ? this.result.seconds : this.player.currentTime);
      });
    if (wait > 0) setTimeout(frame, wait);
    else frame();
  }

  #top() {
    const mean = this.result.mean();
    const list = $("top");
    Result.largest(mean, TOP).forEach((k, place) => {
      const [label, bar, value] = (list.children[place] ?? list.appendChild(topItem())).children;
      if (label.textContent !== this.result.classes[k]) label.textContent = this.result.classes[k];
      bar.firstChild.style.width = `${100 * mean[k]}%`;
      value.textContent = percent(mean[k]);
    });
  }

  /** Show a time as the one that plays. */
  #place(time) {
    const { seconds } = this.result;
    const { timeline } = this.parts;
    const place = Math.min(time, seconds);
    $("head").hidden = this.player.hidden;
    $("head").style.left = `${(100 * place) / seconds}%`;
    timeline.setAttribute("aria-valuemax", String(Math.round(seconds)));
    timeline.setAttribute("aria-valuenow", String(Math.round(place)));
    timeline.setAttribute("aria-valuetext", `${clock(place)} of ${clock(seconds)}`);
  }

  #follow() {
    if (!this.result?.windows.length) return;
    this.#place(this.player.currentTime);
    this.now(this.result, this.player.currentTime);
    if (!this.player.paused && !still.matches && !this.following) {
      this.following = true;
      requestAnimationFrame(() => {
        this.following = false;
        if (!this.player.paused) this.#follow();
      });
    }
  }

  /** The strongest tags of a time, as text: once per window, and not so often that a screen reader falls behind. */
  now(result, time) {
    const window = result.at(time);
    const moment = performance.now();
    const playing = this.player.hidden || !this.player.paused;
    if (window === this.spoken.window || (playing && moment - this.spoken.at < SPEAK_EVERY)) return;
    this.spoken = { window, at: moment };
    const scores = result.scores[window];
    const best = Result.largest(scores, NOW).map((k) => `${result.classes[k]} ${percent(scores[k])}`);
    $("now").textContent = `At ${clock(time)}: ${best.join(", ")}.`;
  }

  #seek(time) {
    if (this.player.hidden || !this.result) return;
    const { duration } = this.player;
    this.player.currentTime = Math.max(0, Math.min(time, Number.isFinite(duration) ? duration : this.result.seconds));
  }

  #click(event) {
    const box = this.parts.timeline.getBoundingClientRect();
    if (this.result) this.#seek(((event.clientX - box.left) / box.width) * this.result.seconds);
  }

  #key(event) {
    if (!this.result) return;
    const time = this.player.currentTime;
    const to = {
      ArrowLeft: time - STEP,
      ArrowDown: time - STEP,
      ArrowRight: time + STEP,
      ArrowUp: time + STEP,
      PageDown: time - this.result.seconds / 10,
      PageUp: time + this.result.seconds / 10,
      Home: 0,
      End: this.result.seconds,
    }[event.key];
    if (to !== undefined) this.#seek(to);
    else if (event.key === " " && !this.player.hidden) this.player.paused ? this.player.play() : this.player.pause();
    else return;
    event.preventDefault();
  }

  /** Tags over time as a table, made when it is looked at. */
  #table() {
    if (!$("details").open || !this.result) return;
    const { result } = this;
    const chosen = rowsOf(result);
    const line = (first, cells, kind) => {
      const tr = document.createElement("tr");
      [first, ...cells].forEach((text, i) => {
        const cell = document.createElement(kind === "th" || i === 0 ? "th" : "td");
        cell.scope = kind === "th" ? "col" : "row";
        if (cell.tagName === "TD") cell.removeAttribute("scope");
        cell.textContent = text;
        tr.append(cell);
      });
      return tr;
    };
    const tenths = !result.windows.slice(0, 2).flat().every(Number.isInteger); // window or step is no whole number of seconds
    const time = ([start, stop]) => `${clock(start, tenths)}–${clock(stop, tenths)}`;
    const every = Math.ceil(result.windows.length / TABLE_ROWS);
    const rows = result.windows.flatMap((window, w) =>
      w % every ? [] : [line(time(window), chosen.map((k) => percent(result.scores[w][k])), "td")],
    );
    const head = document.createElement("thead");
    const body = document.createElement("tbody");
    head.append(line("time", chosen.map((k) => result.classes[k]), "th"));
    body.append(...rows);
    const caption = document.createElement("caption");
    caption.textContent = every > 1 ? `Every ${every}th window; the CSV file has all.` : "Every window.";
    $("table").replaceChildren(caption, head, body);
  }
}
