import {isUtf8} from 'node:buffer';

/** Where generated code looks for a text itself: it adds nothing, so that all of it stays as it is while a block is decoded. */
export type TextProbe = {
  /** Texts of up to 12 bytes. Open addressing, 4 integers an entry: first, last and middle word, code << 4 | length; the last one 0: free. */
  keys: Int32Array;
  /** Entries of `keys` minus one. */
  mask: number;
  /** Longer texts. Open addressing, 4 integers an entry: hash, code (0: free), length, start in `arena`. */
  longs: Int32Array;
  /** Entries of `longs` minus one. */
  longMask: number;
  /** Contents, readable 4 bytes past each. */
  arena: DataView;
};

/** One that finds nothing. */
export const emptyProbe = (): TextProbe => ({
  keys: new Int32Array(4),
  mask: 0,
  longs: new Int32Array(4),
  longMask: 0,
  arena: new DataView(new ArrayBuffer(8)),
});

/**
 * Texts interned by content to small integers, so that the hot path compares and groups by integers and makes a JavaScript
 * string only for what leaves it. Code 0 is NULL; codes grow by one from 1. Nothing in it outlives `clear`.
 *
 * Up to 12 bytes the whole content is the key: three overlapping 32-bit words and the length. Longer texts are found by a
 * hash and compared word by word. Generated code probes both tables itself; see `probeSource`.
 */
export type TextDictionary = TextProbe & {
  /** Next free code. */
  size: number;
  /**
   * Code of the UTF-8 text at `start`, `length` bytes, in `bytes`; `view` is over the same bytes, readable 4 bytes past the
   * text. -1 when it is not UTF-8.
   */
  intern(bytes: Uint8Array, view: DataView, start: number, length: number): number;
  internText(text: string): number;
  /** The text of a code from 1 to size - 1. */
  text(code: number): string;
  /** Approximate memory, bytes. */
  bytes(): number;
  clear(): void;
};

/** Longest text whose content fits the key words. */
export const shortTextMax = 12;
const shortMask = [0, 0xff, 0xffff, 0xffffff];

/** Index seed of a short text; the same computation as in `probeSource`. Most codes have two or three letters: one word. */
function mixWords(first: number, last: number, middle: number, length: number): number {
  if (length < 4) {
    const mixed = Math.imul(first, 0x9e3779b1);
    return mixed ^ (mixed >>> 15);
  }
  let hash =
    Math.imul(first, 0x9e3779b1) ^ Math.imul(last, 0x85ebca77 | 0) ^ Math.imul(middle, 0xc2b2ae3d | 0);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return hash ^ (hash >>> 16);
}

/** What the locals of a probe are called in generated code. */
export type ProbeNames = Record<keyof TextProbe, string>;

/**
 * JavaScript that sets `code` from the text of `l` bytes at `q` of `u8`/`dv`; `miss` is the statement for a text that is new: `code`
 * stays as it was.
 */
export function probeSource(
  code: string,
  {keys, mask, longs, longMask, arena}: ProbeNames,
  miss: string,
): string {
  const next = `if(e===0){${miss}break;}
    s=(s+4)&(${mask}*4+3);`;
  return `if(l<=${shortTextMax}){if(l>3){
  const wa=dv.getInt32(q,true),wb=dv.getInt32(q+l-4,true),wc=dv.getInt32(q+((l-4)>>>1),true);
  let s=Math.imul(wa,${0x9e3779b1 | 0})^Math.imul(wb,${0x85ebca77 | 0})^Math.imul(wc,${0xc2b2ae3d | 0});
  s=Math.imul(s^(s>>>15),${0x2c1b3c6d});s=((s^(s>>>16))&${mask})*4;
  for(;;){const e=${keys}[s+3];
    if(${keys}[s]===wa&&${keys}[s+1]===wb&&${keys}[s+2]===wc&&(e&15)===l){${code}=e>>>4;break;}
    ${next}}
}else{
  const wa=dv.getInt32(q,true)&(1<<(l<<3))-1;
  let s=Math.imul(wa,${0x9e3779b1 | 0});s=((s^(s>>>15))&${mask})*4;
  for(;;){const e=${keys}[s+3];
    if(${keys}[s]===wa&&(e&15)===l&&e!==0){${code}=e>>>4;break;}
    ${next}}
}}else{
  ${hashSource('h', 0)}
  for(let s=(h&${longMask})*4;;s=(s+4)&(${longMask}*4+3)){const f=${longs}[s+1];
    if(f===0){${miss}break;}
    if(${longs}[s]===h&&${longs}[s+2]===l){
      const o=${longs}[s+3];let z=0;
      while(z<l-4&&dv.getInt32(q+z,true)===${arena}.getInt32(o+z,true))z+=4;
      if(z>=l-4&&dv.getInt32(q+l-4,true)===${arena}.getInt32(o+l-4,true)){${code}=f;break;}}}
}`;
}

const encoder = new TextEncoder();

/** Hash of the bytes; 32 bits, all of them mixed. `view` must be readable 3 bytes past the end. */
export function hashBytes(view: DataView, start: number, length: number, seed: number): number {
  let hash = seed ^ length;
  const end = start + length;
  let at = start;
  for (; at + 4 <= end; at += 4) {
    let word = Math.imul(view.getInt32(at, true), 0xcc9e2d51);
    word = Math.imul((word << 15) | (word >>> 17), 0x1b873593);
    hash ^= word;
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
  }
  if (at < end) {
    let word = Math.imul(view.getInt32(at, true) & shortMask[end - at]!, 0xcc9e2d51);
    word = Math.imul((word << 15) | (word >>> 17), 0x1b873593);
    hash ^= word;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** JavaScript of `hashBytes`: statements that declare `hash` of the `l` bytes at `q` of `dv`. */
export const hashSource = (hash: string, seed: number): string =>
  `let ${hash}=${seed}^l;{let z=q,k=0;const e=q+l;
for(;z+4<=e;z+=4){k=Math.imul(dv.getInt32(z,true),${0xcc9e2d51 | 0});${hash}^=Math.imul(k<<15|k>>>17,${0x1b873593});${hash}=Math.imul(${hash}<<13|${hash}>>>19,5)+${0xe6546b64 | 0}|0;}
if(z<e){k=Math.imul(dv.getInt32(z,true)&(1<<(e-z<<3))-1,${0xcc9e2d51 | 0});${hash}^=Math.imul(k<<15|k>>>17,${0x1b873593});}}
${hash}=Math.imul(${hash}^${hash}>>>16,${0x85ebca6b | 0});${hash}=Math.imul(${hash}^${hash}>>>13,${0xc2b2ae35 | 0});${hash}^=${hash}>>>16;`;

/** Bytes after the last text that a 32-bit load may touch. */
const slack = 8;

export function createTextDictionary(): TextDictionary {
  let starts = new Int32Array(64);
  let lengths = new Int32Array(64);
  let arena = Buffer.alloc(1024);
  let used = 0;
  let longCount = 0;
  let texts: (string | undefined)[] = [];

  /** -1 when the bytes are not UTF-8. */
  function append(bytes: Uint8Array, start: number, length: number): number {
    let high = 0;
    for (let i = start; i < start + length; i++) high |= bytes[i]!;
    if (high > 127 && !isUtf8(bytes.subarray(start, start + length))) return -1;
    const code = dictionary.size++;
    if (code >= starts.length) {
      starts = grown(starts, code * 2);
      lengths = grown(lengths, code * 2);
    }
    if (used + length + slack > arena.length) {
      const next = Buffer.alloc((used + length + slack) * 2);
      next.set(arena.subarray(0, used));
      arena = next;
      dictionary.arena = viewOf(arena);
    }
    // A loop is faster than `set` with a new view for the short texts that dimensions are.
    if (length < 64) for (let i = 0; i < length; i++) arena[used + i] = bytes[start + i]!;
    else arena.set(bytes.subarray(start, start + length), used);
    starts[code] = used;
    lengths[code] = length;
    used += length;
    return code;
  }

  function internShort(bytes: Uint8Array, view: DataView, start: number, length: number): number {
    let first = view.getInt32(start, true);
    let last = 0;
    let middle = 0;
    if (length > 3) {
      last = view.getInt32(start + length - 4, true);
      middle = view.getInt32(start + ((length - 4) >>> 1), true);
    } else first &= shortMask[length]!;
    const {keys, mask} = dictionary;
    let slot = (mixWords(first, last, middle, length) & mask) * 4;
    for (; keys[slot + 3] !== 0; slot = (slot + 4) & (mask * 4 + 3))
      if (
        keys[slot] === first &&
        keys[slot + 1] === last &&
        keys[slot + 2] === middle &&
        (keys[slot + 3]! & 15) === length
      )
        return keys[slot + 3]! >>> 4;
    const code = append(bytes, start, length);
    if (code < 0) return code;
    keys[slot] = first;
    keys[slot + 1] = last;
    keys[slot + 2] = middle;
    keys[slot + 3] = (code << 4) | length;
    // A second look costs more than the memory of a table that is almost empty, as long as that is small.
    if (dictionary.size * (mask < 4096 ? 8 : 2) > mask) rehashShort();
    return code;
  }

  function rehashShort(): void {
    const old = dictionary.keys;
    const mask = (dictionary.mask + 1) * 4 - 1;
    const keys = new Int32Array((mask + 1) * 4);
    for (let from = 0; from < old.length; from += 4) {
      if (old[from + 3] === 0) continue;
      let slot = (mixWords(old[from]!, old[from + 1]!, old[from + 2]!, old[from + 3]! & 15) & mask) * 4;
      while (keys[slot + 3] !== 0) slot = (slot + 4) & (mask * 4 + 3);
      for (let i = 0; i < 4; i++) keys[slot + i] = old[from + i]!;
    }
    dictionary.keys = keys;
    dictionary.mask = mask;
  }

  function internLong(bytes: Uint8Array, view: DataView, start: number, length: number): number {
    const {longs, longMask} = dictionary;
    const hash = hashBytes(view, start, length, 0);
    let slot = (hash & longMask) * 4;
    for (; longs[slot + 1] !== 0; slot = (slot + 4) & (longMask * 4 + 3))
      if (longs[slot] === hash && longs[slot + 2] === length && same(longs[slot + 3]!, view, start, length))
        return longs[slot + 1]!;
    const code = append(bytes, start, length);
    if (code < 0) return code;
    longs[slot] = hash;
    longs[slot + 1] = code;
    longs[slot + 2] = length;
    longs[slot + 3] = starts[code]!;
    if (++longCount * 2 > longMask) rehashLong();
    return code;
  }

  function rehashLong(): void {
    const old = dictionary.longs;
    const next = new Int32Array(old.length * 2);
    const mask = next.length / 4 - 1;
    for (let from = 0; from < old.length; from += 4) {
      if (old[from + 1] === 0) continue;
      let slot = (old[from]! & mask) * 4;
      while (next[slot + 1] !== 0) slot = (slot + 4) & (mask * 4 + 3);
      for (let i = 0; i < 4; i++) next[slot + i] = old[from + i]!;
    }
    dictionary.longs = next;
    dictionary.longMask = mask;
  }

  /** Whether the content at `own` is these bytes; lengths over 12, so that 4-byte steps with an overlapping last one reach all. */
  function same(own: number, view: DataView, start: number, length: number): boolean {
    const known = dictionary.arena;
    for (let i = 0; i < length - 4; i += 4)
      if (view.getInt32(start + i, true) !== known.getInt32(own + i, true)) return false;
    return view.getInt32(start + length - 4, true) === known.getInt32(own + length - 4, true);
  }

  const dictionary: TextDictionary = {
    size: 1,
    keys: new Int32Array(64 * 4),
    mask: 63,
    longs: new Int32Array(16 * 4),
    longMask: 15,
    arena: viewOf(arena),
    intern: (bytes, view, start, length) =>
      length <= shortTextMax
        ? internShort(bytes, view, start, length)
        : internLong(bytes, view, start, length),
    internText(text) {
      const bytes = new Uint8Array(text.length * 3 + slack);
      const {written} = encoder.encodeInto(text, bytes);
      return dictionary.intern(bytes, new DataView(bytes.buffer), 0, written);
    },
    text(code) {
      return (texts[code] ??= arena.toString('utf8', starts[code]!, starts[code]! + lengths[code]!));
    },
    bytes: () =>
      arena.length +
      starts.length * 8 +
      (dictionary.keys.length + dictionary.longs.length) * 4 +
      // A string made of a code costs about its length and a header.
      texts.length * 40,
    clear() {
      dictionary.size = 1;
      dictionary.keys = new Int32Array(64 * 4);
      dictionary.mask = 63;
      starts = new Int32Array(64);
      lengths = new Int32Array(64);
      arena = Buffer.alloc(1024);
      dictionary.arena = viewOf(arena);
      dictionary.longs = new Int32Array(16 * 4);
      dictionary.longMask = 15;
      used = 0;
      longCount = 0;
      texts = [];
    },
  };
  return dictionary;
}

const viewOf = ({buffer, byteOffset, byteLength}: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength);

function grown(array: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const next = new Int32Array(length);
  next.set(array);
  return next;
}
