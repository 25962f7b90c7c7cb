/** The microphone as blocks of samples, without the processing that telephony wants (echo, noise, gain). */

import { SoundError } from "./decode.js";

const REASONS = {
  NotAllowedError: "The microphone was refused. Allow it for this page in the browser's settings (beside the address), then try again.",
  NotFoundError: "This device has no microphone that the browser knows.",
  NotReadableError: "The microphone is in use by another program, or the system does not give it.",
};

/**
 * @param {(channels: Float32Array[]) => void} onBlock some 85 ms each
 * @param {(message: string) => void} onLost the microphone went away
 * @returns {Promise<{rate: number, begin: () => void, stop: () => Promise<void>}>} begin: from here on blocks come
 * @throws {SoundError}
 */
export async function openMicrophone(onBlock, onLost) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new SoundError("Browsers give the microphone to secure pages only: open this page as http://127.0.0.1 or localhost, or by https.");
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch (error) {
    throw new SoundError(REASONS[error.name] ?? `The microphone cannot be used: ${error.message}.`);
  }
  const context = new AudioContext();
  const close = async () => {
    stream.getTracks().forEach((track) => track.stop());
    if (context.state !== "closed") await context.close();
  };
  try {
    await context.audioWorklet.addModule(new URL("../capture-worklet.js", import.meta.url));
    await context.resume();
  } catch (error) {
    await close();
    throw new SoundError(`The microphone cannot be used: ${error.message}.`);
  }
  const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
  const [track] = stream.getAudioTracks();
  track.addEventListener("ended", () => onLost("The microphone went away."));
  capture.port.onmessage = ({ data }) => onBlock(data);
  const source = context.createMediaStreamSource(stream);
  return {
    rate: context.sampleRate,
    begin: () => source.connect(capture),
    stop: async () => {
      capture.port.onmessage = null;
      await close();
    },
  };
}
