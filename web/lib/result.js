/** What was heard in a recording: probabilities per window, and sums over them that grow with every window. */
export class Result {
  constructor(classes) {
    this.classes = classes;
    this.windows = []; // [start, stop], seconds
    this.scores = []; // Float32Array [L] each
    this.highest = new Float32Array(classes.length);
    this.weighted = new Float64Array(classes.length);
    this.weight = 0;
    this.seconds = 0;
  }

  /** windows [[start, stop]], scores [W * L]. */
  add(windows, scores) {
    const n = this.classes.length;
    windows.forEach(([start, stop], w) => {
      const row = scores.subarray(w * n, (w + 1) * n);
      for (let i = 0; i < n; i++) {
        if (row[i] > this.highest[i]) this.highest[i] = row[i];
        this.weighted[i] += row[i] * (stop - start);
      }
      this.weight += stop - start;
      this.windows.push([start, stop]);
      this.scores.push(row);
      this.seconds = Math.max(this.seconds, stop);
    });
  }

  /** Mean over the windows, weighted by the seconds that each hears, [L]: the Python suite's `Tagged.probabilities`. */
  mean() {
    return Float32Array.from(this.weighted, (sum) => (this.weight ? sum / this.weight : 0));
  }

  /** Numbers of the `n` largest of [L] values, largest first. */
  static largest(values, n) {
    return Array.from(values.keys())
      .sort((a, b) => values[b] - values[a] || a - b)
      .slice(0, n);
  }

  /** Where one window's say ends and the next one's begins, [W + 1] seconds: overlaps are halved, all of 0..seconds is covered. */
  bounds() {
    const { windows } = this;
    const inner = windows.slice(1).map(([start], k) => (start < windows[k][1] ? (start + windows[k][1]) / 2 : start));
    return [0, ...inner, this.seconds];
  }

  /** Number of the window that speaks for a time. */
  at(time, bounds = this.bounds()) {
    let [low, high] = [0, this.windows.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (bounds[middle] <= time) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** All of it as text: a line per window. */
  csv() {
    const quote = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const lines = [["start_s", "stop_s", ...this.classes.map(quote)].join(",")];
    this.windows.forEach(([start, stop], w) => {
      lines.push([start.toFixed(3), stop.toFixed(3), ...Array.from(this.scores[w], (p) => p.toFixed(5))].join(","));
    });
    return lines.join("\n") + "\n";
  }
}
