/**
 * Drives the page in headless Chromium: node drive.mjs WEB_FOLDER SCRIPT.json -> a JSON object on stdout.
 *
 * SCRIPT: { url, chromium, profile, viewport?, scheme?, reduced?, args?, permissions?, init?, steps: [[name, ...arguments]] }. What steps return
 * comes back under "out", in their order, beside the page's errors, the requests that left the server, and its long tasks (ms).
 */
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const [, , web, scriptFile] = process.argv;
const script = JSON.parse(fs.readFileSync(scriptFile, "utf8"));
const require = createRequire(path.resolve(web, "package.json"));
const { chromium } = require("playwright-core");

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
FLAGS.push("--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required", "--mute-audio");

const context = await chromium.launchPersistentContext(script.profile, {
  executablePath: script.chromium,
  headless: true,
  args: [...FLAGS, ...(script.args ?? [])],
  viewport: script.viewport ?? { width: 1000, height: 1200 },
  colorScheme: script.scheme ?? "light",
  reducedMotion: script.reduced ? "reduce" : "no-preference",
  permissions: script.permissions ?? [],
  acceptDownloads: true,
});
const page = context.pages()[0] ?? (await context.newPage());
const out = { out: [], errors: [], foreign: [], failed: [], console: [] };
page.on("filechooser", () => {}); // from the start: the browser is told by a message of its own that choosers are wanted, which a key could overtake
page.on("pageerror", (error) => out.errors.push(String(error)));
page.on("console", (message) => ["error", "warning"].includes(message.type()) && out.console.push(message.text()));
context.on("request", (request) => {
  const url = request.url();
  if (!url.startsWith(script.url) && !/^(blob|data):/.test(url)) out.foreign.push(url);
});
context.on("requestfailed", (request) => out.failed.push(`${request.url()} ${request.failure()?.errorText}`));
await page.addInitScript(() => {
  globalThis.longTasks = [];
  new PerformanceObserver((list) => globalThis.longTasks.push(...list.getEntries().map((e) => Math.round(e.duration)))).observe({
    type: "longtask",
    buffered: true,
  });
});
if (script.init) await page.addInitScript({ content: script.init });

const text = (selector) => page.locator(selector).innerText();
const base64 = (content) => Buffer.from(content, "base64");

const steps = {
  open: (query = "") => page.goto(script.url + query, { waitUntil: "load" }).then(() => null),
  /** Wait until the status begins with one of the words, or a message stands there. */
  status: async (words, timeout = 120000) => {
    await page.waitForFunction(
      (wanted) => {
        const status = document.getElementById("status").textContent;
        return wanted.some((word) => status.startsWith(word));
      },
      words,
      { timeout },
    );
    return { status: await text("#status"), message: await page.locator("#message").textContent() };
  },
  message: async (timeout = 60000) => {
    await page.locator("#message").waitFor({ state: "visible", timeout });
    return { status: await text("#status"), message: await text("#message") };
  },
  file: (file) => page.setInputFiles("#file", file).then(() => null),
  own: (...files) => page.setInputFiles("#own", files).then(() => null),
  /** Drop a file on the page, with the events that a mouse makes. */
  drop: async (file) => {
    const content = fs.readFileSync(file).toString("base64");
    const transfer = await page.evaluateHandle(
      ([name, data]) => {
        const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], name));
        return transfer;
      },
      [path.basename(file), content],
    );
    for (const event of ["dragenter", "dragover", "drop"]) await page.dispatchEvent("body", event, { dataTransfer: transfer });
    return null;
  },
  click: (selector) => page.click(selector).then(() => null),
  select: (selector, value) => page.selectOption(selector, value).then(() => null),
  press: (key) => page.keyboard.press(key).then(() => null),
  wait: (milliseconds) => page.waitForTimeout(milliseconds).then(() => null),
  /** Poll an expression from outside: the page's content policy forbids evaluating text inside it. */
  until: async (expression, timeout = 60000) => {
    for (const end = Date.now() + timeout; !(await page.evaluate(expression)); ) {
      if (Date.now() > end) throw new Error(`not within ${timeout} ms: ${expression}`);
      await page.waitForTimeout(50);
    }
  },
  text,
  attribute: (selector, name) => page.locator(selector).getAttribute(name),
  evaluate: (expression) => page.evaluate(expression),
  /** The element that has the focus: its id, or its text. */
  focused: () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim().slice(0, 40)),
  screenshot: (file) => page.screenshot({ path: file, fullPage: true }).then(() => null),
  longTasks: () => page.evaluate(() => globalThis.longTasks),
  clearLongTasks: () => page.evaluate(() => void globalThis.longTasks.splice(0)),
  /** What the debug hook holds: the decoded channels into a file [frames, channels] float32, the rest as the answer. */
  debug: async (file) => {
    const found = await page.evaluate(() => {
      const { pcm, rate, result, model, done } = globalThis.maestDebug;
      const { windows } = result;
      return { rate, channels: pcm[0]?.length ?? 0, blocks: pcm.length, windows, scores: result.scores.map((s) => [...s]), mean: [...result.mean()], model, done };
    });
    if (!file) return found;
    const handle = fs.openSync(file, "w");
    for (let b = 0; b < found.blocks; b++) {
      const encoded = await page.evaluate(async (k) => {
        const channels = globalThis.maestDebug.pcm[k];
        const mixed = new Float32Array(channels.length * channels[0].length);
        channels.forEach((channel, c) => channel.forEach((value, i) => (mixed[i * channels.length + c] = value)));
        const reader = new FileReader();
        const done = new Promise((resolve) => (reader.onload = resolve));
        reader.readAsDataURL(new Blob([mixed]));
        await done;
        return reader.result.split(",")[1];
      }, b);
      fs.writeSync(handle, base64(encoded));
    }
    fs.closeSync(handle);
    return found;
  },
  /** axe-core's findings: [rule, impact, number of nodes, first node]. */
  axe: async () => {
    await page.evaluate(fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
    const { violations } = await page.evaluate(() => globalThis.axe.run(document));
    return violations.map((v) => [v.id, v.impact, v.nodes.length, v.nodes[0].html.slice(0, 200), v.nodes[0].failureSummary]);
  },
  /** Chooses a file by keyboard: the focused input opens the chooser. */
  keyboardFile: async (file) => {
    const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.keyboard.press("Space")]);
    await chooser.setFiles(file);
    return null;
  },
  download: async (selector, file) => {
    const [download] = await Promise.all([page.waitForEvent("download"), page.click(selector)]);
    await download.saveAs(file);
    return download.suggestedFilename();
  },
};

try {
  for (const [name, ...rest] of script.steps) out.out.push((await steps[name](...rest)) ?? null);
} catch (error) {
  out.broken = `step ${out.out.length} (${JSON.stringify(script.steps[out.out.length])}): ${error.message}`;
  out.page = await page.evaluate(() => document.body.innerText).catch(() => "");
}
await context.close();
process.stdout.write(JSON.stringify(out));
