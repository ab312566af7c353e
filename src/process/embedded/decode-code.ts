import type {Flat} from '../../schema/flat.ts';
import {tokenSource} from './accumulators.ts';
import type {ColumnUse} from './decode-columns.ts';
import {probeSource} from './dictionary.ts';

/** A column to fill, by index. */
export type Target = {column: number; use: ColumnUse};

/** What the generated decoder does with one field of a writer's schema, in its order. */
export type FieldStep = {
  flat: Exclude<Flat, {kind: 'union' | 'array' | 'map' | 'record'}>;
  /** Byte of the union's branch that holds the value, and of the one that holds null; null: no union. */
  union: {value: number; null: number} | null;
  /** Columns to fill, by index. */
  targets: Target[];
  isTime: boolean;
};

/**
 * What the generated code shares with the decoder around it. It stops in front of every record that needs care: the decoder
 * around it then takes that one by the checked way.
 */
export type DecodeState = {
  /** Where it stopped. */
  pos: number;
  row: number;
  columns: (Float64Array | Int32Array)[];
  dictionaries: {keys: Int32Array; mask: number}[];
  /** Interns a text that is new or long. @returns -1 when it is not UTF-8. */
  intern(column: number, start: number, length: number): number;
  /** HyperLogLog token of a text, where the generated code does not make it itself. */
  token(start: number, length: number): number;
  /** Interns a symbol of an enum and remembers its code. */
  symbol(column: number, symbols: EnumCodes, index: number): number;
};

/** An enum of a writer for one column: codes by the writer's index, 0: not interned in this generation. */
export type EnumCodes = {symbols: string[]; codes: Int32Array};

export type DecodeRun = (
  state: DecodeState,
  u8: Uint8Array,
  dv: DataView,
  pos: number,
  /** Records that end beyond it are left; the bytes after it can be looked at (see `slackOf`). */
  end: number,
  row: number,
) => void;

/**
 * The bytes after a batch that the generated code may look at: a short text or number moves the position by less than this a
 * field, a long one is checked against the record's end at once.
 */
export const slackOf = (fields: number): number => 72 * fields + 64;

/**
 * Generates the decoder of a writer's schema: reads every field (a record is good or bad as a whole), keeps the wanted ones.
 * `absent` are columns that the writer does not have: NULL. The code holds indexes and numbers only. Union branch and length
 * are read as one 16-bit load, numbers of up to 28 bits without a branch for each byte.
 */
export function generateDecodeRun(
  steps: FieldStep[],
  absent: Target[],
  schemaId: number,
): {run: DecodeRun; enums: EnumCodes[]} {
  const enums: EnumCodes[] = [];
  const coded = steps.flatMap(({targets}) =>
    targets.filter(({use}) => use === 'code').map(({column}) => column),
  );
  const columns = [...steps.flatMap(({targets}) => targets), ...absent].map(({column}) => column);
  // The frame's first four bytes as the little-endian load sees them: 0 and the upper three of the id.
  const magicAndId =
    ((schemaId >>> 24) << 8) | (((schemaId >>> 16) & 255) << 16) | (((schemaId >>> 8) & 255) << 24);
  const source = `return (S,u8,dv,pos,end,row)=>{
${columns.map((column) => `const C${column}=S.columns[${column}];`).join('')}
${coded.map((column) => `let K${column}=S.dictionaries[${column}].keys,M${column}=S.dictionaries[${column}].mask;`).join('')}
R:while(pos<end){
let l=0,q=0,w=0,a=0,t=0,m=0,v=0;
const recordEnd=pos+4+dv.getInt32(pos,true);
if(recordEnd>end||dv.getInt32(pos+4,true)!==${magicAndId}||u8[pos+8]!==${schemaId & 255})break;
let p=pos+9;
${steps.map((step) => stepSource(step, enums)).join('\n')}
if(p!==recordEnd)break;
${missing({targets: absent})}
row++;pos=recordEnd;
}
S.pos=pos;S.row=row;
}`;
  return {run: new Function('E', source)(enums), enums};
}

function stepSource(step: FieldStep, enums: EnumCodes[]): string {
  const {flat} = step;
  switch (flat.kind) {
    case 'string':
      return textSource(step);
    case 'enum':
      return inUnion(step, enumSource(step, flat.symbols, enums), missing(step));
    case 'int':
    case 'long':
      return inUnion(step, varintSource(step), missing(step));
    case 'double':
    case 'float': {
      const size = flat.kind === 'double' ? 8 : 4;
      const read = flat.kind === 'double' ? 'dv.getFloat64(p,true)' : 'dv.getFloat32(p,true)';
      return inUnion(step, `${store(step, read)}p+=${size};`, missing(step));
    }
    case 'boolean':
      return inUnion(step, `if(u8[p]>1)break R;${store(step, 'u8[p]')}p++;`, missing(step));
    case 'fixed':
      return inUnion(step, `p+=${flat.size};if(p>recordEnd)break R;`, '');
    case 'bytes':
      return inUnion(step, `${lengthSource}p=q+l;`, '');
    case 'null':
      return missing(step);
  }
}

/** Statements that store NULL. */
const missing = ({targets}: {targets: Target[]}): string =>
  targets
    .map(({column, use}) => `C${column}[row]=${use === 'number' ? 'NaN' : use === 'place' ? -1 : 0};`)
    .join('');

/** Stores a number; a NaN among doubles is NULL, as everywhere in expressions. */
const store = ({targets}: FieldStep, value: string): string =>
  targets.length === 0 ? '' : `v=${value};${targets.map(({column}) => `C${column}[row]=v;`).join('')}`;

function inUnion({union}: FieldStep, value: string, none: string): string {
  if (!union) return `{${value}}`;
  return `if(u8[p]===${union.value}){p++;${value}}else if(u8[p]===${union.null}){p++;${none}}else break R;`;
}

/** Sets q (start) and l (length) of a text or bytes of up to 8191 bytes whose length begins at p. */
const lengthSource =
  'l=u8[p];if((l&129)===0){l>>>=1;q=p+1;}else{if(u8[p+1]>127||l&1)break R;l=((l&127)|u8[p+1]<<7)>>>1;q=p+2;if(q+l>recordEnd)break R;}';

function textSource(step: FieldStep): string {
  const {union, targets} = step;
  const use = targets
    .map(({column, use}) => {
      if (use === 'place') return `C${column}[row]=p0;`;
      if (use === 'token') {
        const {before, token} = tokenSource('S.token(q,l)');
        return `{${before}C${column}[row]=${token};}`;
      }
      const miss = `c${column}=S.intern(${column},q,l);if(c${column}<0)break R;K${column}=S.dictionaries[${column}].keys;M${column}=S.dictionaries[${column}].mask`;
      return `let c${column}=0;${probeSource(`c${column}`, `K${column}`, `M${column}`, miss)}C${column}[row]=c${column};`;
    })
    .join('');
  const place = targets.some((target) => target.use === 'place');
  if (!union) return `{${place ? 'const p0=p;' : ''}${lengthSource}p=q+l;${use}}`;
  // One load for branch and length: the value's branch in the low byte, an even length below 128 in the high one.
  return `w=dv.getUint16(p,true);
if((w&0x81ff)===${union.value}){${place ? 'const p0=p+1;' : ''}l=w>>>9;q=p+2;p=q+l;${use}}
else if((w&255)===${union.null}){p++;${missing(step)}}
else{if((w&255)!==${union.value})break R;p++;${place ? 'const p0=p;' : ''}${lengthSource}p=q+l;${use}}`;
}

function enumSource({targets}: FieldStep, symbols: string[], enums: EnumCodes[]): string {
  const stores = targets.map(({column}) => {
    const place = enums.push({symbols, codes: new Int32Array(symbols.length)}) - 1;
    return `C${column}[row]=E[${place}].codes[a>>>1]||S.symbol(${column},E[${place}],a>>>1);`;
  });
  return `a=u8[p];if(a>127||a&1||(a>>>1)>=${symbols.length})break R;p++;${stores.join('')}`;
}

/** A zigzag varint: up to 4 bytes by one load and masks, up to 8 by two; longer ones and integers beyond 2^53 go the checked way. */
function varintSource(step: FieldStep): string {
  const {flat, targets, isTime} = step;
  const bits = (name: string) =>
    `((${name}&127)|(${name}>>>1&0x3f80)|(${name}>>>2&0x1fc000)|(${name}>>>3&0xfe00000))`;
  const put = targets.map(({column}) => `C${column}[row]=v;`).join('');
  const range = flat.kind === 'int' ? 'if(v!==(v|0))break R;' : '';
  const long = `{m=dv.getInt32(p+4,true);t=~m&0x80808080;if(t===0)break R;m&=t^(t-1);
const h=${bits('m')};if(h>0x3ffffff)break R;
const o=${bits('a')};v=h*134217728+(o>>>1);if(o&1)v=-v-1;${range}p+=4+((39-Math.clz32(t&-t))>>>3);}`;
  const time = isTime ? 'if(!(v>=0&&v<=8.64e15))break R;' : '';
  if (isTime)
    // Today's timestamps have 6 bytes.
    return `a=dv.getInt32(p,true);m=dv.getUint16(p+4,true);
if((a&0x80808081)===${0x80808080 | 0}&&(m&0x8080)===0x80){v=((m&127)|(m>>>1&0x3f80))*134217728+(${bits('a')}>>>1);p+=6;}
else{t=~a&0x80808080;if(t!==0){m=a&(t^(t-1));m=${bits('m')};v=(m>>>1)^-(m&1);p+=(39-Math.clz32(t&-t))>>>3;}else ${long}${time}}${put}`;
  return `a=dv.getInt32(p,true);t=~a&0x80808080;
if(t!==0){p+=(39-Math.clz32(t&-t))>>>3;${targets.length > 0 ? `m=a&(t^(t-1));m=${bits('m')};v=(m>>>1)^-(m&1);` : ''}}
else ${long}${put}`;
}
