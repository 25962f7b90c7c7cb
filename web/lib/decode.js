/**
 * Sound files to samples by WebAudio, in bounded memory.
 *
 * WebAudio decodes a file as a whole. Up to WHOLE_BYTES of samples that is what is done. Longer WAV and MP3 files are decoded in pieces of
 * PIECE_SECONDS (a WAV's are exact; an MP3's begin some frames early, which warms the decoder up, and those frames are dropped). Longer files
 * of other formats are refused, with their length and the limit.
 */

import { inspect, mp3Frame } from "./header.js";

export const WHOLE_BYTES = 400e6; // of float32 samples: 19 minutes of stereo at 44.1 kHz
const PIECE_SECONDS = 60;
const BLOCK = 1 << 17; // frames handed on at once: short tasks for the interface
const WARM_UP = 32; // MP3 frames: beyond the reach of its bit reservoir at every common bit rate
const FALLBACK_RATE = 48000;
const CONTEXT_RATES = [3000, 384000];
const SCAN = 1 << 22; // bytes of an MP3 looked at together

/** What stands in the way of a file: `message` is for the page. */
export class SoundError extends Error {}

/** 75 -> "1:15", 3725 -> "1:02:05"; with tenths 75 -> "1:15.0". */
export function clock(seconds, tenths = false) {
  const units = Math.round(tenths ? 10 * seconds : seconds);
  const whole = tenths ? Math.floor(units / 10) : units;
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return (h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`) + (tenths ? `.${units % 10}` : "");
}

/**
 * @param {File} file
 * @param {number|null} seconds its length as far as a media element knows
 * @param {{wholeBytes?: number, pieceSeconds?: number}} limits others than the page's, for tests
 * @returns {Promise<{format, rate, seconds: number|null, blocks: () => AsyncGenerator<Float32Array[]>}>} blocks: the channels, [C][n] each
 * @throws {SoundError}
 */
export async function open(file, seconds, { wholeBytes = WHOLE_BYTES, pieceSeconds = PIECE_SECONDS } = {}) {
  if (file.size === 0) throw new SoundError(`${file.name} is empty.`);
  const about = await readable(file, inspect(file));
  const [low, high] = CONTEXT_RATES;
  const rate = about.rate >= low && about.rate <= high ? about.rate : FALLBACK_RATE;
  const length = about.seconds ?? seconds;
  const bytes = 4 * (length ?? 0) * rate * (about.channels ?? 2);
  const source = { format: about.format, rate, seconds: length };
  const inPieces = { WAV: wavPieces, MP3: mp3Pieces }[about.format];
  if (inPieces && (bytes > wholeBytes || length === null)) {
    return { ...source, blocks: () => inPieces(file, about, rate, pieceSeconds) };
  }
  if (bytes > wholeBytes) throw new SoundError(tooLong(file.name, about.format, length, bytes, rate * (about.channels ?? 2)));
  if (length === null && file.size * 16 > wholeBytes) {
    throw new SoundError(`${file.name} does not tell its length and is too large (${(file.size / 1e6).toFixed(0)} MB) to try. ${cure}`);
  }
  return { ...source, blocks: () => whole(file, rate) };
}

const cure = "Cut it, or save it as WAV or MP3: these are decoded in pieces and may have any length.";

function tooLong(name, format, seconds, bytes, perSecond) {
  const limit = clock(WHOLE_BYTES / 4 / perSecond);
  return (
    `${name} is ${clock(seconds)} long. Browsers decode ${format} as a whole, here to ${(bytes / 1e9).toFixed(1)} GB of samples; ` +
    `this page takes ${(WHOLE_BYTES / 1e6).toFixed(0)} MB, ${limit} of such a file. ${cure}`
  );
}

async function decode(buffer, rate, name) {
  try {
    return await new OfflineAudioContext(1, 1, rate).decodeAudioData(buffer);
  } catch (error) {
    throw new SoundError(`${name} cannot be decoded: this browser finds no sound that it knows in it (${error.message ?? error.name}).`);
  }
}

/** The samples from..to of a decoded buffer in blocks: copies, so that they can be handed to the worker. */
function* cut(audio, from = 0, to = audio.length) {
  for (let at = from; at < to; at += BLOCK) {
    const n = Math.min(BLOCK, to - at);
    yield Array.from({ length: audio.numberOfChannels }, (_, c) => {
      const out = new Float32Array(n);
      audio.copyFromChannel(out, c, at);
      return out;
    });
  }
}

/** What reading a file gives. A file that was moved or changed since it was given can be read no more. */
async function readable(file, reading) {
  try {
    return await reading;
  } catch (error) {
    throw new SoundError(`${file.name} cannot be read: give the file again. (${error.message})`);
  }
}

async function* whole(file, rate) {
  const bytes = await readable(file, file.arrayBuffer());
  const audio = await decode(bytes, rate, file.name);
  if (audio.length === 0) throw new SoundError(`${file.name} holds no samples.`);
  yield* cut(audio);
}

async function* wavPieces(file, { start, bytes, frame, fmt }, rate, seconds) {
  const step = Math.round(seconds * rate) * frame;
  for (let at = 0; at + frame <= bytes; at += step) {
    const size = Math.floor(Math.min(step, bytes - at) / frame) * frame;
    const sound = await file.slice(start + at, start + at + size).arrayBuffer();
    yield* cut(await decode(wavFile(fmt, sound), rate, file.name));
  }
}

function wavFile(fmt, sound) {
  const format = new Uint8Array(fmt.buffer);
  const out = new Uint8Array(28 + format.length + sound.byteLength);
  const view = new DataView(out.buffer);
  const write = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  write(0, "RIFF");
  view.setUint32(4, out.length - 8, true);
  write(8, "WAVEfmt ");
  view.setUint32(16, format.length, true);
  out.set(format, 20);
  write(20 + format.length, "data");
  view.setUint32(24 + format.length, sound.byteLength, true);
  out.set(new Uint8Array(sound), 28 + format.length);
  return out.buffer;
}

async function* mp3Pieces(file, { start }, rate, seconds) {
  let held = []; // places of frames: first those of the warm-up, then those of the piece
  let warm = 0;
  let perFrame = 1152;
  const piece = async (end) => {
    const audio = await decode(await file.slice(held[0], end).arrayBuffer(), rate, file.name);
    return [audio, Math.max(0, audio.length - (held.length - warm) * perFrame)];
  };
  for await (const frame of mp3Frames(file, start)) {
    perFrame = frame.samples;
    if ((held.length - warm) * perFrame >= seconds * rate) {
      const [audio, from] = await piece(frame.at);
      yield* cut(audio, from);
      held = held.slice(-WARM_UP);
      warm = held.length;
    }
    held.push(frame.at);
  }
  if (held.length > warm) {
    const [audio, from] = await piece(file.size);
    yield* cut(audio, from);
  }
}

/** The frames of an MP3 in order: { at: byte, samples }. Bytes that are no frame are passed over. */
async function* mp3Frames(file, start) {
  for (let base = start; base < file.size; ) {
    const view = new DataView(await file.slice(base, base + SCAN).arrayBuffer());
    const last = base + view.byteLength >= file.size;
    let at = 0;
    while (at + 4 <= view.byteLength) {
      const frame = mp3Frame(view, at);
      if (!frame) at += 1;
      else if (at + frame.bytes > view.byteLength && !last) break;
      else {
        if (at + frame.bytes <= view.byteLength) yield { at: base + at, samples: frame.samples };
        at += frame.bytes;
      }
    }
    if (last) return;
    base += at;
  }
}
