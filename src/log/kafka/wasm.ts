/**
 * Writes small WebAssembly modules (https://webassembly.github.io/spec/core/binary/): expressions are their bytes, operands first.
 * Only what this folder needs; all locals and parameters are 32-bit integers.
 */
export type Code = number[];

/** What a module holds: one memory and functions of 32-bit integers that return one, exported by their names. */
export type WasmFunction = {
  name: string;
  /** Locals 0 to `parameters` - 1. */
  parameters: number;
  /** Further locals, 0 at the start. */
  locals: number;
  body: Code;
};

/** Unsigned LEB128. */
function unsigned(value: number): Code {
  const bytes: Code = [];
  let rest = value >>> 0;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
  return bytes;
}

/** Signed LEB128 of 32 bits. */
function signed(value: number): Code {
  const bytes: Code = [];
  let rest = value | 0;
  for (; rest < -64 || rest > 63; rest >>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest & 127);
  return bytes;
}

const binary =
  (code: number) =>
  (a: Code, b: Code): Code => [...a, ...b, code];

export const i32 = (value: number): Code => [0x41, ...signed(value)];
export const get = (local: number): Code => [0x20, ...unsigned(local)];
export const set = (local: number, value: Code): Code => [...value, 0x21, ...unsigned(local)];
export const add = binary(0x6a);
export const and = binary(0x71);
export const or = binary(0x72);
export const shl = binary(0x74);
export const shr = binary(0x76);
export const ne = binary(0x47);
export const below = binary(0x49);
export const above = binary(0x4b);
export const notBelow = binary(0x4f);

/** Memory at `address` + `offset`; any alignment. */
export const load8 = (address: Code, offset = 0): Code => [...address, 0x2d, 0, ...unsigned(offset)];
export const store32 = (address: Code, value: Code): Code => [...address, ...value, 0x36, 0, 0];
/** Sixteen bytes. */
export const load128 = (address: Code, offset = 0): Code => [...address, 0xfd, 0, 0, ...unsigned(offset)];
export const store128 = (address: Code, value: Code, offset = 0): Code => [
  ...address,
  ...value,
  0xfd,
  0x0b,
  0,
  ...unsigned(offset),
];
export const xor128 = (a: Code, b: Code): Code => [...a, ...b, 0xfd, 0x51];

/** `leaveIf(n)` leaves the n-th block around it, 0 the innermost; `again(n)` begins the n-th, a loop, once more. */
export const block = (...body: Code[]): Code => [0x02, 0x40, ...body.flat(), 0x0b];
export const loop = (...body: Code[]): Code => [0x03, 0x40, ...body.flat(), 0x0b];
export const when = (condition: Code, ...body: Code[]): Code => [
  ...condition,
  0x04,
  0x40,
  ...body.flat(),
  0x0b,
];
export const again = (depth: number): Code => [0x0c, ...unsigned(depth)];
export const leaveIf = (depth: number, condition: Code): Code => [...condition, 0x0d, ...unsigned(depth)];
export const againIf = leaveIf;

const vector = (items: Code[]): Code => [...unsigned(items.length), ...items.flat()];
const section = (id: number, items: Code[]): Code => {
  const body = vector(items);
  return [id, ...unsigned(body.length), ...body];
};
const nameOf = (text: string): Code => [...unsigned(text.length), ...Buffer.from(text)];

/** The bytes of a module with `pages` of 64 KiB as `memory`. */
export function wasmModule(pages: number, functions: WasmFunction[]): Uint8Array {
  const int = 0x7f;
  const types = functions.map(({parameters}) => [
    0x60,
    ...vector(Array.from({length: parameters}, () => [int])),
    ...vector([[int]]),
  ]);
  const exported = functions.map(({name}, index) => [...nameOf(name), 0, ...unsigned(index)]);
  const code = functions.map(({locals, body}) => {
    const bytes = [...vector([[...unsigned(locals), int]]), ...body, 0x0b];
    return [...unsigned(bytes.length), ...bytes];
  });
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, types),
    ...section(
      3,
      functions.map((_, index) => unsigned(index)),
    ),
    ...section(5, [[1, ...unsigned(pages), ...unsigned(pages)]]),
    ...section(7, [...exported, [...nameOf('memory'), 2, 0]]),
    ...section(10, code),
  ]);
}
