// Arrays as numbers rather than text: safetensors, as the API answers `Accept: application/x-safetensors`.
import { callBinary } from "./api.js";

const SAFETENSORS = "application/x-safetensors";

/** Calls an action; per item its arrays by name, {shape, values}, half the size on the wire with `half`. */
export async function callArrays(model, action, items, params, { signal, half = false } = {}) {
  const accept = `${SAFETENSORS}; dtype=${half ? "float16" : "float32"}`;
  const blob = await callBinary(model, action, items, params, accept, { signal });
  const answer = items.map(() => ({}));
  for (const [key, array] of Object.entries(read(await blob.arrayBuffer()))) {
    const slash = key.indexOf("/");
    answer[Number(key.slice(0, slash))][key.slice(slash + 1)] = array;
  }
  return answer;
}

/** The arrays of a safetensors file: {name: {shape, values: Float32Array or Int32Array}}. */
export function read(buffer) {
  const size = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size)));
  const arrays = {};
  for (const [name, about] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const {
      dtype,
      shape,
      data_offsets: [from, to],
    } = about;
    arrays[name] = { shape, values: numbers(dtype, buffer.slice(8 + size + from, 8 + size + to)) };
  }
  return arrays;
}

function numbers(dtype, bytes) {
  if (dtype === "F32") return new Float32Array(bytes);
  if (dtype === "I32") return new Int32Array(bytes);
  if (dtype === "F16") return Float32Array.from(new Uint16Array(bytes), (bits) => HALVES[bits]);
  throw new Error(`the server sent numbers of a kind that is not known here: ${dtype}`);
}

/** What each of the 65,536 half-precision numbers is. */
const HALVES = Float32Array.from({ length: 65536 }, (_, bits) => {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
});

/** A float32 with as few digits as name it, as the API writes it: 0.1 rather than 0.10000000149011612. */
export function shortest(value) {
  for (let digits = 6; digits < 9; digits += 1) {
    const text = Number(value.toPrecision(digits));
    if (Math.fround(text) === value) return text;
  }
  return Number(value.toPrecision(9));
}
