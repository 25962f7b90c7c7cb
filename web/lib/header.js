/**
 * What a sound file's first bytes say of it: format, sample rate, channels, length where it stands there.
 *
 * WebAudio tells none of this and resamples whatever it decodes to the context's rate. Knowing the file's own rate, the page decodes at it and
 * resamples once, itself; knowing the length, it refuses what would not fit into memory before decoding it.
 */

const ascii = (view, at, n) => String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, Math.max(0, Math.min(n, view.byteLength - at))));

async function read(file, from, length) {
  return new DataView(await file.slice(from, from + length).arrayBuffer());
}

/**
 * @param {File|Blob} file
 * @returns {Promise<{format: string, rate: number|null, channels: number|null, seconds: number|null, start?: number, ...}>}
 *   null: not told. `start`: byte at which the sound begins (wav, mp3). wav: also `bytes` of sound, `frame` bytes and the `fmt` chunk.
 */
export async function inspect(file) {
  const unknown = { format: "unknown", rate: null, channels: null, seconds: null };
  try {
    const view = await read(file, 0, 4096);
    if (view.byteLength < 16) return unknown;
    const magic = ascii(view, 0, 4);
    if (magic === "RIFF" && ascii(view, 8, 4) === "WAVE") return (await wav(file)) ?? unknown;
    if (magic === "fLaC") return flac(view);
    if (magic === "OggS") return ogg(view) ?? unknown;
    if (ascii(view, 4, 4) === "ftyp") return (await mp4(file)) ?? unknown;
    return (await mpeg(file)) ?? unknown;
  } catch (error) {
    if (error instanceof RangeError) return unknown; // cut off inside its header: the decoder will say so
    throw error;
  }
}

async function wav(file) {
  let fmt = null;
  for (let at = 12; at + 8 <= file.size; ) {
    const head = await read(file, at, 8);
    const name = ascii(head, 0, 4);
    const size = head.getUint32(4, true);
    if (name === "fmt ") fmt = await read(file, at + 8, Math.min(size, 64));
    if (name === "data" && fmt) {
      const [channels, rate, frame] = [fmt.getUint16(2, true), fmt.getUint32(4, true), fmt.getUint16(12, true)];
      const there = file.size - at - 8;
      const bytes = Math.min(size || there, there); // 0 or too much: written by a stream that did not know
      if (!channels || !rate || !frame) return null;
      return { format: "WAV", rate, channels, seconds: bytes / frame / rate, start: at + 8, bytes, frame, fmt };
    }
    at += 8 + size + (size % 2);
  }
  return null;
}

function flac(view) {
  const high = view.getUint32(18);
  const samples = (high & 0xf) * 2 ** 32 + view.getUint32(22) || 0;
  const word = view.getUint32(18);
  const rate = word >>> 12;
  return { format: "FLAC", rate, channels: ((word >>> 9) & 7) + 1, seconds: samples ? samples / rate : null };
}

function ogg(view) {
  const at = 27 + view.getUint8(26);
  if (ascii(view, at + 1, 6) === "vorbis") {
    return { format: "Ogg Vorbis", rate: view.getUint32(at + 12, true), channels: view.getUint8(at + 11), seconds: null };
  }
  if (ascii(view, at, 8) === "OpusHead") return { format: "Ogg Opus", rate: 48000, channels: view.getUint8(at + 9), seconds: null };
  return null;
}

/** AAC of a low rate may hold twice it by spectral band replication: decoding at the double loses nothing. */
const doubled = (rate) => (rate <= 24000 ? 2 * rate : rate);

async function mp4(file) {
  const boxes = async function* (from, to) {
    for (let at = from; at + 8 <= to; ) {
      const head = await read(file, at, 16);
      let size = head.getUint32(0);
      let begin = at + 8;
      if (size === 1) [size, begin] = [Number(head.getBigUint64(8)), at + 16];
      if (size === 0) size = to - at;
      if (size < 8) return;
      yield { name: ascii(head, 4, 4), begin, end: Math.min(at + size, to) };
      at += size;
    }
  };
  const find = async (path, from, to) => {
    for await (const box of boxes(from, to)) {
      if (box.name !== path[0]) continue;
      const found = path.length === 1 ? box : await find(path.slice(1), box.begin, box.end);
      if (found) return found;
    }
    return null;
  };
  for await (const moov of boxes(0, file.size)) {
    if (moov.name !== "moov") continue;
    for await (const trak of boxes(moov.begin, moov.end)) {
      if (trak.name !== "trak") continue;
      const hdlr = await find(["mdia", "hdlr"], trak.begin, trak.end);
      if (!hdlr || ascii(await read(file, hdlr.begin, 12), 8, 4) !== "soun") continue;
      const mdhd = await find(["mdia", "mdhd"], trak.begin, trak.end);
      const stsd = await find(["mdia", "minf", "stbl", "stsd"], trak.begin, trak.end);
      if (!mdhd || !stsd) return null;
      const [time, entry] = [await read(file, mdhd.begin, 36), await read(file, stsd.begin, 48)];
      const long = time.getUint8(0) === 1;
      const scale = time.getUint32(long ? 20 : 12);
      const ticks = long ? Number(time.getBigUint64(24)) : time.getUint32(16);
      const kind = ascii(entry, 12, 4);
      const rate = entry.getUint16(40) || scale;
      return {
        format: `MP4 (${kind})`,
        rate: kind === "mp4a" ? doubled(rate) : kind === "Opus" ? 48000 : Math.max(rate, scale),
        channels: entry.getUint16(32),
        seconds: scale && ticks ? ticks / scale : null,
      };
    }
  }
  return null;
}

const RATES = [44100, 48000, 32000];
const AAC_RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
const LAYER3 = {
  1: [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  2: [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
};

/** An MPEG layer III frame's header at a place: { rate, channels, bytes, samples }, or null when there is none. */
export function mp3Frame(view, at) {
  if (at + 4 > view.byteLength) return null;
  const word = view.getUint32(at);
  const version = (word >>> 19) & 3; // 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
  const [layer, bits, index] = [(word >>> 17) & 3, (word >>> 12) & 15, (word >>> 10) & 3];
  if (word >>> 21 !== 0x7ff || version === 1 || layer !== 1 || bits === 0 || bits === 15 || index === 3) return null;
  const rate = RATES[index] / (version === 3 ? 1 : version === 2 ? 2 : 4);
  const kilobits = LAYER3[version === 3 ? 1 : 2][bits];
  const samples = version === 3 ? 1152 : 576;
  const bytes = Math.floor(((samples / 8) * 1000 * kilobits) / rate) + ((word >>> 9) & 1);
  return { rate, channels: ((word >>> 6) & 3) === 3 ? 1 : 2, bytes, samples };
}

/** Bytes of ID3 tags at the beginning of a file. */
async function tagged(file) {
  let at = 0;
  for (;;) {
    const head = await read(file, at, 10);
    if (head.byteLength < 10 || ascii(head, 0, 3) !== "ID3") return at;
    const size = [6, 7, 8, 9].reduce((sum, k) => (sum << 7) | (head.getUint8(k) & 0x7f), 0);
    at += 10 + size + (head.getUint8(5) & 0x10 ? 10 : 0);
  }
}

async function mpeg(file) {
  const begin = await tagged(file);
  const view = await read(file, begin, 65536);
  for (let at = 0; at + 4 < view.byteLength; at++) {
    const frame = mp3Frame(view, at);
    const follower = frame && (mp3Frame(view, at + frame.bytes) || begin + at + frame.bytes >= file.size);
    if (follower) return { format: "MP3", rate: frame.rate, channels: frame.channels, seconds: null, start: begin + at };
    const word = view.getUint16(at);
    if ((word & 0xfff6) === 0xfff0) {
      const rate = AAC_RATES[(view.getUint8(at + 2) >>> 2) & 15];
      if (rate && at < 16) return { format: "AAC", rate: doubled(rate), channels: 2, seconds: null };
    }
  }
  return null;
}
