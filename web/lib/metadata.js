/** What a network wants and gives, from the metadata beside its ONNX file (Essentia's schema, as `export` writes it). */

/** What stands in the way of using a model: `message` is for the page. */
export class ModelError extends Error {}

function need(condition, what) {
  if (!condition) throw new ModelError(`The network's metadata cannot be used: ${what} Export the network again with export.format=onnx.`);
}

/**
 * @param {object} metadata as parsed from the json file
 * @returns {{name: string, input: string, samples: number, rate: number, output: string, classes: string[], about: string,
 *   file: {bytes: number, sha256: string}|null, random: boolean}}
 *   samples: of one window; rate: Hz; output: the probabilities' name; file: the .onnx file that belongs to it, where that is said; random: nothing was learned.
 */
export function describe(metadata) {
  need(metadata && typeof metadata === "object" && !Array.isArray(metadata), "it is not a JSON object.");
  const { schema, classes, inference, file = null } = metadata;
  const inputs = schema?.inputs;
  need(Array.isArray(inputs) && inputs.length === 1, `schema.inputs must name one input, and names ${inputs?.length ?? "none"}.`);
  const [input] = inputs;
  const samples = input.shape?.[input.shape.length - 1];
  need(
    Array.isArray(input.shape) && input.shape.length === 2 && Number.isInteger(samples) && samples > 0,
    `the input must be a waveform, shape [batch, samples]; it is ${JSON.stringify(input.shape)}. A network that takes spectrograms does not fit.`,
  );
  const rate = inference?.sample_rate;
  need(Number.isInteger(rate) && rate >= 1000 && rate <= 192000, `inference.sample_rate is ${JSON.stringify(rate)}; it is a whole number of Hz.`);
  const output = (schema.outputs ?? []).find((one) => one.output_purpose === "predictions");
  need(output, 'no output has output_purpose "predictions".');
  need(Array.isArray(classes) && classes.length > 0, "it names no classes.");
  const width = output.shape?.[output.shape.length - 1];
  need(width === classes.length, `it names ${classes.length} classes and the output ${output.name} has ${width}.`);
  need(
    file === null || (Number.isInteger(file.bytes) && /^[0-9a-f]{64}$/.test(file.sha256)),
    "file must hold the .onnx file's bytes and sha256.",
  );
  const about = [
    metadata.weights === "RANDOM" ? "RANDOM weights: its tags say nothing about the music" : "",
    `${classes.length} tags`,
    `windows of ${(samples / rate).toFixed(2)} s at ${rate.toLocaleString("en")} Hz`,
    metadata.licence ? `licence of the weights: ${metadata.licence}` : "",
  ];
  return {
    name: String(metadata.name ?? "network"),
    input: input.name,
    samples,
    rate,
    output: output.name,
    classes: classes.map(readable),
    about: about.filter(Boolean).join("; "),
    file,
    random: metadata.weights === "RANDOM",
  };
}

/** "Electronic---House" is Essentia's way to write a style under its genre. */
function readable(label) {
  return String(label).replace("---", " – ");
}
