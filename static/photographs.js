// Photographs without what their cameras wrote into them: where and when they were taken, and with
// what. The picture itself stays as it is, to the byte. Only which side is up stays, because the
// picture would lie on its side without it.
//
// Sources: ITU-T T.81 Annex B (JPEG), Exif 3.0 (TIFF within), the PNG and WebP specifications.

const EXIF = [0x45, 0x78, 0x69, 0x66, 0, 0]; // "Exif"
const ORIENTATION = 0x0112;

const text = (bytes, from, length) => String.fromCharCode(...bytes.subarray(from, from + length));
const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const damaged = () => new Error("damaged");

/** Which of the four kinds of pictures it is, by its first bytes, or null. */
export function kindOf(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return "image/jpeg";
  if (text(bytes, 0, 8) === "\x89PNG\r\n\x1a\n") return "image/png";
  if (/^GIF8[79]a/.test(text(bytes, 0, 6))) return "image/gif";
  if (text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 4) === "WEBP") return "image/webp";
  return null;
}

/** The parts of a picture that may be sent, as an array for `new Blob`. Raises Error if it is broken. */
export function withoutTraces(bytes) {
  const strip = { "image/jpeg": ofJpeg, "image/png": ofPng, "image/webp": ofWebp }[kindOf(bytes)];
  try {
    return strip ? strip(bytes) : [bytes];
  } catch (error) {
    throw error instanceof RangeError ? damaged() : error; // it ends in the middle of something
  }
}

/** Whether a file may tell where it was taken in a way that is not removed here. */
export const mayTell = (name, type) =>
  /\.(heic|heif|avif|tiff?|dng|mp4|mov|m4v|3gp)$/i.test(name) || /^(video|image)\/(?!svg)/.test(type);

function ofJpeg(bytes) {
  const data = view(bytes);
  const kept = [bytes.subarray(0, 2)];
  let at = 2;
  for (;;) {
    if (data.getUint8(at) !== 0xff) throw damaged();
    while (data.getUint8(at + 1) === 0xff) at += 1; // fill bytes
    const marker = bytes[at + 1];
    if (marker === 0xd9) {
      // What follows the end is no part of the picture: previews with traces of their own, say.
      kept.push(bytes.subarray(at, at + 2));
      return kept;
    }
    const end = at + 2 + data.getUint16(at + 2);
    if (end < at + 4 || end > bytes.length) throw damaged();
    if (marker === 0xe1) {
      const side = orientation(bytes.subarray(at + 4, end));
      if (side) kept.push(exifOf(side));
    } else if (stays(marker, bytes, at)) {
      kept.push(bytes.subarray(at, end));
    }
    at = end;
    if (marker !== 0xda) continue;
    // The picture's data goes on to the next marker: 0 and the restarts belong to it.
    while (at < bytes.length && !(bytes[at] === 0xff && isMarker(bytes[at + 1]))) at += 1;
    kept.push(bytes.subarray(end, at));
    if (at >= bytes.length - 1) return kept; // it was cut off, but shows
  }
}

const isMarker = (byte) => byte !== 0 && byte !== 0xff && !(byte >= 0xd0 && byte <= 0xd7);

/** Of what applications add, only what the picture is shown with: JFIF, colours, Adobe's. */
function stays(marker, bytes, at) {
  if (marker === 0xe0) return text(bytes, at + 4, 4) === "JFIF";
  if (marker === 0xe2) return text(bytes, at + 4, 11) === "ICC_PROFILE";
  if (marker === 0xee) return text(bytes, at + 4, 5) === "Adobe";
  return marker < 0xe0 || marker > 0xfe || (marker > 0xef && marker < 0xfe); // 0xfe: a comment
}

/** Which side of the picture is up, from 2 to 8; null if it is the usual one or not said. */
function orientation(segment) {
  if (!EXIF.every((byte, at) => segment[at] === byte)) return null;
  return inTiff(segment.subarray(EXIF.length));
}

function inTiff(tiff) {
  try {
    const data = view(tiff);
    const little = data.getUint16(0) === 0x4949;
    const directory = data.getUint32(4, little);
    const entries = data.getUint16(directory, little);
    for (let entry = 0; entry < entries; entry += 1) {
      const at = directory + 2 + entry * 12;
      if (data.getUint16(at, little) !== ORIENTATION) continue;
      const side = data.getUint16(at + 8, little);
      return side >= 2 && side <= 8 ? side : null;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // nonsense says nothing
  }
  return null;
}

/** A TIFF of one entry, big-endian. */
const tiffOf = (side) => [
  ...[0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1],
  ...[ORIENTATION >> 8, ORIENTATION & 0xff, 0, 3, 0, 0, 0, 1, 0, side, 0, 0, 0, 0, 0, 0],
];

function exifOf(side) {
  const content = [...EXIF, ...tiffOf(side)];
  return Uint8Array.from([0xff, 0xe1, 0, content.length + 2, ...content]);
}

const TRACES = new Set(["eXIf", "tEXt", "zTXt", "iTXt", "tIME"]);

/** PNG has no way to lie on its side that browsers agree on, so nothing of its Exif stays. */
function ofPng(bytes) {
  const data = view(bytes);
  const kept = [bytes.subarray(0, 8)];
  for (let at = 8; at < bytes.length; ) {
    const end = at + 12 + data.getUint32(at);
    if (end > bytes.length) throw damaged();
    const type = text(bytes, at + 4, 4);
    if (!TRACES.has(type)) kept.push(bytes.subarray(at, end));
    if (type === "IEND") break;
    at = end;
  }
  return kept;
}

function ofWebp(bytes) {
  const data = view(bytes);
  const kept = [];
  const whole = Math.min(bytes.length, 8 + data.getUint32(4, true));
  for (let at = 12; at < whole; ) {
    const end = at + 8 + data.getUint32(at + 4, true);
    if (end > bytes.length) throw damaged();
    const padded = Math.min(end + ((end - at) % 2), bytes.length);
    const type = text(bytes, at, 4);
    const chunk = bytes.slice(at, padded);
    if (type === "VP8X") chunk[8] &= ~0b1100; // neither Exif nor XMP follows
    if (type !== "EXIF" && type !== "XMP ") kept.push(chunk);
    at = padded;
  }
  const head = bytes.slice(0, 12);
  const length = kept.reduce((sum, chunk) => sum + chunk.length, 4);
  view(head).setUint32(4, length, true);
  return [head, ...kept];
}
