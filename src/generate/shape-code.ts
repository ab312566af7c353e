/** Code that draws a field and writes it. Generated code holds numbers only, never text of a configuration. */
import {cells, type Quantiles} from './distributions.ts';
import {hashCode} from './random.ts';
import type {FieldPlan, Source} from './types.ts';

/** Draws of a field, at most; the first draw of field i is `i * drawsMax`. */
export const drawsMax = 8;
/** Digits of a number inside a text. */
export const numberWidth = 12;

const keysOfScope = {event: ['A', 'B'], session: ['SA', 'SB'], entity: ['EA', 'EB']} as const;

/** What a field's code uses besides numbers, by name. */
export type Parts = {
  keep?: Uint32Array | undefined;
  other?: Int32Array | undefined;
  quantiles?: Quantiles | undefined;
};

/** Code that sets `x<index>` (and `o<index>` when it may be NULL). */
export function drawCode(plan: FieldPlan, index: number, parts: Parts): string {
  const {source, remember, recall} = plan;
  const x = `x${index}`;
  const lines = [valueCode(plan, index, x, parts)];
  if (recall !== null) lines.push(`z=M[${recall}][slot]; if (z===z) ${x}=z;`);
  if (source.nullShare > 0)
    lines.push(`${draw(plan, drawsMax - 1)} o${index}=(z>>>0)<${Math.round(source.nullShare * 4294967296)};`);
  if (remember !== null)
    lines.push(`M[${remember}][slot]=${source.nullShare > 0 ? `o${index}?NaN:${x}` : x};`);
  return lines.join('\n');
}

function draw({source, draw: first}: FieldPlan, which: number): string {
  const [a, b] = keysOfScope[source.scope];
  return hashCode(a, b, first + which);
}

/** An index below `count`, by weight when there is an alias table. */
function indexCode(plan: FieldPlan, index: number, x: string, count: number, parts: Parts): string {
  const even = `${draw(plan, 0)} ${x}=((z>>>0)*${count / 4294967296})|0;`;
  return parts.keep
    ? `${even} ${draw(plan, 1)} if ((z>>>0)>=keep${index}[${x}]) ${x}=other${index}[${x}];`
    : even;
}

function valueCode(plan: FieldPlan, index: number, x: string, parts: Parts): string {
  const {source} = plan;
  switch (source.kind) {
    case 'table':
      if (source.of === 'entity') return `${x}=entity;`;
      return source.values.length === 1 ? `${x}=0;` : indexCode(plan, index, x, source.values.length, parts);
    case 'key':
      return source.of === 'entity' ? `${x}=entity;` : indexCode(plan, index, x, source.count, parts);
    case 'related':
      return source.sameAs < 0 ? `${x}=0;` : `${x}=x${source.sameAs};`;
    case 'number':
      return `${draw(plan, 0)} ${numberCode(source, index, x)}`;
    case 'counter':
      return `${x}=${source.of === 'event' ? 'n' : 'session'};`;
    case 'text':
      return source.parts.some(({kind}) => kind === 'digit' || kind === 'letter')
        ? `${draw(plan, 0)} ${x}=z;`
        : `${x}=${source.of === 'event' ? 'n' : 'session'};`;
    case 'uuid':
      return `${draw(plan, 0)} ${x}=(z>>>0)*2097152; ${draw(plan, 1)} ${x}+=z>>>11;`;
    case 'time':
      return `${x}=Math.floor(t);`;
    case 'date':
      return `${x}=Math.floor(t/86400000);`;
  }
}

function numberCode(source: Extract<Source, {kind: 'number'}>, index: number, x: string): string {
  const {distribution, scale, integer, min, max} = source;
  const lines: string[] = [];
  if (distribution.kind === 'uniform') {
    const {from, to} = distribution;
    // Whole numbers have the same chance each, both ends included.
    lines.push(
      integer
        ? `${x}=Math.floor(${from * scale}+(z>>>0)*${(Math.round(to * scale) - Math.round(from * scale) + 1) / 4294967296});`
        : `${x}=${from}+(z>>>0)*${(to - from) / 4294967296};`,
    );
  } else {
    lines.push(
      `c=z>>>20; ${x}=c===0||c===${cells - 1}?tail${index}(z):start${index}[c]+(z&0xfffff)*${2 ** -20}*step${index}[c];`,
    );
    if (integer) lines.push(`${x}=Math.round(${x}*${scale});`);
  }
  if (!integer) lines.push(`${x}=Math.round(${x}*1000)/1000;`);
  const limit = (value: number) => (integer ? Math.round(value * scale) : value);
  if (min !== null) lines.push(`if (${x}<${limit(min)}) ${x}=${limit(min)};`);
  if (max !== null) lines.push(`if (${x}>${limit(max)}) ${x}=${limit(max)};`);
  return lines.join(' ');
}

/** Code that writes the field at `p`. @param stride of its cells, where it has them. */
export function writeCode({source}: FieldPlan, index: number, required: boolean, stride: number): string {
  const x = `x${index}`;
  const branch = required ? '' : 'u8[p++]=2;';
  const body =
    source.kind === 'table' || source.kind === 'related'
      ? copyCode(index, x, stride)
      : `${branch} ${scalarCode(source, x)}`;
  return source.nullShare > 0 && !required ? `if (o${index}) u8[p++]=0; else { ${body} }` : body;
}

/** Words may reach beyond the value: what comes next overwrites them. */
function copyCode(index: number, x: string, stride: number): string {
  const first = Math.min(stride, 4);
  const words = Array.from(
    {length: first},
    (_, word) => `v.setInt32(p+${word * 4},W${index}[q+${word}],true);`,
  );
  const rest =
    stride > first
      ? `for (c=${first * 4}, z=L${index}[${x}]; c<z; c+=4) v.setInt32(p+c,W${index}[q+(c>>2)],true);`
      : '';
  const at = stride === 1 ? `q=${x};` : `q=${x}*${stride};`;
  return `${at} ${words.join(' ')} ${rest} p+=L${index}[${x}];`;
}

const small = (x: string): string =>
  `z=(${x}<<1)^(${x}>>31); while (z>127) { u8[p++]=z|128; z>>>=7; } u8[p++]=z;`;

function scalarCode(source: Source, x: string): string {
  switch (source.kind) {
    case 'number':
      return source.integer
        ? `if (${x}<0x10000000&&${x}>=-0x10000000) { ${small(x)} } else p=writeLong(${x},u8,p);`
        : `v.setFloat64(p,${x},true); p+=8;`;
    case 'date':
      return small(x);
    case 'key':
      return keyCode(source, x);
    case 'text':
      return textCode(source, x);
    case 'uuid':
      return `p=writeUuid(${x},u8,p);`;
    default:
      return `p=writeLong(${x},u8,p);`;
  }
}

/** Bytes as constants. */
const fixed = (bytes: Uint8Array): string => [...bytes].map((byte) => `u8[p++]=${byte};`).join(' ');

const utf8 = new TextEncoder();

const varint = (value: number): string => {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  return fixed(Uint8Array.of(...bytes, rest));
};

/** A key beyond the tables, as text of 6 or 7 digits between prefix and suffix, or as a number. */
function keyCode(source: Extract<Source, {kind: 'key'}>, x: string): string {
  const prefix = utf8.encode(source.prefix);
  const suffix = utf8.encode(source.suffix);
  const {width} = source;
  if (width === 0) return `p=writeLong(${x}+1,u8,p);`;
  return `${varint((prefix.length + suffix.length + width) << 1)} ${fixed(prefix)} q=${x}+1; c=(q/10000)|0;
    v.setInt32(p,D4[c]>>>${8 * (8 - width)},true); v.setInt32(p+${width - 4},D4[q-c*10000],true); p+=${width}; ${fixed(suffix)}`;
}

/** A text of a length that is known beforehand. */
function textCode({parts, of}: Extract<Source, {kind: 'text'}>, x: string): string {
  const length = parts.reduce(
    (sum, part) =>
      sum +
      (part.kind === 'fixed' ? utf8.encode(part.text).length : part.kind === 'number' ? numberWidth : 1),
    0,
  );
  const number = of === 'event' ? 'n' : 'session';
  const pieces = parts.map((part) => {
    switch (part.kind) {
      case 'fixed':
        return fixed(utf8.encode(part.text));
      case 'number':
        return `q=Math.floor(${number}/1e8); c=${number}-q*1e8; v.setInt32(p,D4[q%10000],true); q=(c/10000)|0;
          v.setInt32(p+4,D4[q],true); v.setInt32(p+8,D4[c-q*10000],true); p+=12;`;
      case 'digit':
        return `${nextPiece} u8[p++]=48+(r>>>16)%10;`;
      case 'letter':
        return `${nextPiece} u8[p++]=97+(r>>>16)%26;`;
      default:
        return '';
    }
  });
  return `r=${x}|0; ${varint(length << 1)} ${pieces.join(' ')}`;
}

const nextPiece = 'r=(Math.imul(r,1664525)+1013904223)|0;';

/** The same texts as `textCode` writes. @param x the draw. @param number of the event or session. */
export function textOf({parts}: Extract<Source, {kind: 'text'}>, x: number, number: number): string {
  let state = x | 0;
  return parts
    .map((part) => {
      if (part.kind === 'fixed') return part.text;
      if (part.kind === 'number') return String(number % 1e12).padStart(numberWidth, '0');
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      return part.kind === 'digit'
        ? String((state >>> 16) % 10)
        : String.fromCharCode(97 + ((state >>> 16) % 26));
    })
    .join('');
}
