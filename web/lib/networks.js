/** Where networks come from: the server's list, or two files of the user's own. Each is { metadata, onnx, pair, choice, name }. */

import { ModelError } from "./metadata.js";

const LIST = "models/index.json";

/** How to make a network, for who has none. */
export const ADVICE = [
  "There is no exported network in web/models yet. Export one, and load this page again:",
  "python ex_maest.py export with musicnn_mtt export.format=onnx export.blocks=[] export.out=web/models/musicnn.onnx",
  "or one that was trained here:",
  "python ex_maest.py export with demo maest.checkpoint=exp_logs/1/checkpoints/best.ckpt export.format=onnx " +
    "export.blocks=[] export.out=web/models/demo.onnx",
  "or, of CLMR with a head (docs/browser.md says where HEAD comes from):",
  "python ex_ssl.py export with clmr_inference clmr.checkpoint=exp_logs/1/checkpoints/best.ckpt clmr.head_checkpoint=HEAD " +
    "export.format=onnx export.out=web/models/clmr.onnx",
  "Or choose an .onnx file and its .json from this device.",
].join("\n");

/** The networks that the server offers. */
export async function listed() {
  const answer = await fetch(LIST);
  return answer.ok ? (await answer.json()).models : [];
}

/** One of them; choice: its place in the list. */
export async function fetched({ name, onnx, metadata }, choice) {
  const answer = await fetch(`models/${encodeURIComponent(metadata)}`);
  if (!answer.ok) throw new ModelError(`models/${metadata} cannot be fetched: ${answer.status} ${answer.statusText}.`);
  const address = new URL(`models/${encodeURIComponent(onnx)}`, location.href).href;
  return { metadata: parsed(await answer.text(), metadata), onnx: address, pair: [onnx, metadata], choice, name };
}

/** The user's own. */
export async function given(files) {
  const [onnx, json] = [".onnx", ".json"].map((suffix) => files.find((file) => file.name.toLowerCase().endsWith(suffix)));
  if (!onnx || !json) {
    throw new ModelError("Choose two files together: the network (.onnx) and its metadata (.json), as `export` writes them.");
  }
  const metadata = parsed(await json.text(), json.name);
  return { metadata, onnx, pair: [onnx.name, json.name], choice: "own", name: onnx.name.slice(0, -".onnx".length) };
}

function parsed(text, name) {
  try {
    return JSON.parse(text);
  } catch {
    throw new ModelError(`${name} is not JSON: it is not the metadata that an export writes.`);
  }
}
