import type {Flat} from '../../schema/flat.ts';
import {tokenSource} from './accumulators.ts';
import type {ColumnUse} from './decode-columns.ts';
import {type ProbeNames, probeSource, type TextProbe} from './dictionary.ts';

/** A column to fill, by index. `only`: column whose code has to be that of `DecodeState.wanted`, else its text is not looked up. */
export type Target = {column: number; use: ColumnUse; only?: number};

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
  dictionaries: TextProbe[];
  /** Latest event time, epoch ms, that records may have. */
  latestMs: number;
  /** By column: the code that the one it depends on has to have. */
  wanted: Int32Array;
  /**
   * Texts that it did not find (new ones, those of over 63 bytes in a union), `missFields` integers each, in order of rows: row, index of the target,
   * start and length in the bytes; of an enum: the symbol's index and -1. Their place in the column is the caller's to fill.
   */
  misses: Int32Array;
  /** Integers of `misses` in use. */
  missed: number;
};

export const missFields = 4;

/** A text column that the generated code fills, as misses name it by index. */
export type TextTarget = Target & {
  /** Of an enum. */
  symbols: string[];
  /** Codes by the writer's index of a symbol, 0: not interned in this generation. */
  codes: Int32Array;
};

export type DecodeRun = (
  state: DecodeState,
  u8: Uint8Array,
  dv: DataView,
  pos: number,
  /** Records that end beyond it are left; the bytes after it can be looked at (see `slackOf`). */
  end: number,
  row: number,
  /** It stops in front of this row; `misses` must have room for the texts of the rows up to it. */
  rowEnd: number,
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
 *
 * The loop calls nothing: a text that its dictionary does not hold is noted as a miss. So what it uses is the same from record
 * to record, and since it is used once in front of the loop, the compiler does not check it in the loop again and again: a
 * third of its time.
 */
export function generateDecodeRun(
  steps: FieldStep[],
  absent: Target[],
  schemaId: number,
): {run: DecodeRun; texts: TextTarget[]} {
  const texts: TextTarget[] = [];
  const late: string[] = [];
  const code = steps.map((step) => stepSource(step, texts, late)).join('\n');
  const columns = [...steps.flatMap(({targets}) => targets), ...absent].map(({column}) => column);
  const dependent = steps.flatMap(({targets}) => targets.filter(isDependent));
  const coded = texts.filter(({use, symbols}) => use === 'code' && symbols.length === 0);
  const enums = texts.flatMap(({symbols}, index) => (symbols.length > 0 ? [index] : []));
  // The frame's first four bytes as the little-endian load sees them: 0 and the upper three of the id.
  const magicAndId =
    ((schemaId >>> 24) << 8) | (((schemaId >>> 16) & 255) << 16) | (((schemaId >>> 8) & 255) << 24);
  const source = `return (S,u8,dv,pos,end,row,rowEnd)=>{
S.pos=pos;S.row=row;S.missed=0;
if(pos>=end||row>=rowEnd)return;
const X=S.misses,latest=S.latestMs;let n=0;
${dependent.map(({column}) => `const V${column}=S.wanted[${column}];`).join('')}
${columns.map((column) => `const C${column}=S.columns[${column}];`).join('')}
${coded.map(({column}) => `const ${bindingOf(probeNames(column))}=S.dictionaries[${column}];`).join('')}
${enums.map((index) => `const E${index}=E[${index}].codes;`).join('')}
X[0]=0;if(dv.getInt32(pos,true)+u8[pos]${coded.map(({column}) => `+K${column}[0]+Y${column}[0]+A${column}.getInt32(0,true)`).join('')}${enums.map((index) => `+E${index}[0]`).join('')}===0.5)return;
${columns.map((column) => `C${column}[row]=0;`).join('')}
R:while(pos<end&&row<rowEnd){
let l=0,q=0,w=0,a=0,t=0,m=0;
${dependent.map(({column}) => `let q${column}=0,l${column}=-1;`).join('')}
const recordEnd=pos+4+dv.getInt32(pos,true);
if(recordEnd>end||dv.getInt32(pos+4,true)!==${magicAndId}||u8[pos+8]!==${schemaId & 255})break;
let p=pos+9;
${code}
if(p!==recordEnd)break;
${steps.flatMap(({isTime, targets}) => (isTime ? targets.map(({column}) => `if(C${column}[row]>latest)break;`) : [])).join('')}
${missing({targets: absent})}
${late.join('\n')}
row++;pos=recordEnd;
}
while(n>0&&X[n-${missFields}]===row)n-=${missFields};
S.pos=pos;S.row=row;S.missed=n;
}`;
  return {run: new Function('E', source)(texts), texts};
}

/** Locals of a text column's dictionary. */
const probeNames = (column: number): ProbeNames => ({
  keys: `K${column}`,
  mask: `M${column}`,
  longs: `Y${column}`,
  longMask: `Z${column}`,
  arena: `A${column}`,
});

const bindingOf = (names: ProbeNames): string =>
  `{${Object.entries(names)
    .map(([field, name]) => `${field}:${name}`)
    .join(',')}}`;

/** Looked up when the whole record was read, and only then if another column says so. */
const isDependent = ({only, use}: Target): boolean =>
  only !== undefined && (use === 'code' || use === 'token');

function stepSource(step: FieldStep, texts: TextTarget[], late: string[]): string {
  const {flat} = step;
  switch (flat.kind) {
    case 'string':
      return textSource(step, texts, late);
    case 'enum':
      return inUnion(step, enumSource(step, flat.symbols, texts), missing(step));
    case 'int':
    case 'long':
      return inUnion(step, varintSource(step), missing(step));
    case 'double':
    case 'float': {
      const size = flat.kind === 'double' ? 8 : 4;
      const read = flat.kind === 'double' ? 'dv.getFloat64(p,true)' : 'dv.getFloat32(p,true)';
      return inUnion(step, `${store(step, read)}p=p+${size};`, missing(step));
    }
    case 'boolean':
      return inUnion(step, `if(u8[p]>1)break R;${store(step, 'u8[p]')}p=p+1;`, missing(step));
    case 'fixed':
      return inUnion(step, `p=p+${flat.size};if(p>recordEnd)break R;`, '');
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
  targets.map(({column}) => `C${column}[row]=${value};`).join('');

function inUnion({union}: FieldStep, value: string, none: string): string {
  if (!union) return `{${value}}`;
  return `if(u8[p]===${union.value}){p=p+1;${value}}else if(u8[p]===${union.null}){p=p+1;${none}}else break R;`;
}

/** Sets q (start) and l (length) of a text or bytes of up to 8191 bytes whose length begins at p. */
const lengthSource =
  'l=u8[p];if((l&129)===0){l>>>=1;q=p+1;}else{w=u8[p+1];if(w>127||l&1)break R;l=((l&127)|w<<7)>>>1;q=p+2;if((q+l)>recordEnd)break R;}';

/** A statement that notes a miss of a target: the decoder around fills its place. */
const missSource = (index: number, start: string, length: string): string =>
  `{X[n]=row;X[n+1]=${index};X[n+2]=${start};X[n+3]=${length};n+=${missFields};}`;

function textSource(step: FieldStep, texts: TextTarget[], late: string[]): string {
  const {union, targets} = step;
  const noted: string[] = [];
  const found = targets.map((target) => {
    const {column, use, only} = target;
    if (use === 'place') return '';
    const index = texts.push({column, use, symbols: [], codes: new Int32Array(0)}) - 1;
    const miss = missSource(index, 'q', 'l');
    const lookUp = use === 'code' ? codeSource(column, miss) : countedSource(column, miss);
    if (!isDependent(target)) {
      noted.push(miss);
      return lookUp;
    }
    late.push(
      `if(C${only}[row]===V${column}&&l${column}>=0){q=q${column};l=l${column};${lookUp}}else C${column}[row]=0;`,
    );
    const keep = `q${column}=q;l${column}=l;`;
    noted.push(keep);
    return keep;
  });
  const place = (at: string): string =>
    targets.map(({column, use}) => (use === 'place' ? `C${column}[row]=${at};` : '')).join('');
  const use = found.join('');
  if (!union) return `{${place('p')}${lengthSource}p=q+l;${use}}`;
  // One load for branch and length: the value's branch in the low byte, an even length below 128 in the high one.
  return `w=dv.getUint16(p,true);
if((w&0x81ff)===${union.value}){${place('p+1')}l=w>>>9;q=p+2;p=q+l;${use}}
else if((w&255)===${union.null}){p++;${missing(step)}}
else{if((w&255)!==${union.value})break R;p++;${place('p')}${lengthSource}p=q+l;${noted.join('')}}`;
}

const codeSource = (column: number, miss: string): string =>
  `{let c=0;${probeSource('c', probeNames(column), miss)}C${column}[row]=c;}`;

function countedSource(column: number, miss: string): string {
  const {before, token} = tokenSource('0');
  return `{${before}const c=${token};if(c===0)${miss}C${column}[row]=c;}`;
}

function enumSource({targets}: FieldStep, symbols: string[], texts: TextTarget[]): string {
  const stores = targets.map(({column, use}) => {
    const index = texts.push({column, use, symbols, codes: new Int32Array(symbols.length)}) - 1;
    return `{const c=E${index}[a>>>1];if(c===0)${missSource(index, 'a>>>1', '-1')}C${column}[row]=c;}`;
  });
  return `a=u8[p];if(a>127||a&1||(a>>>1)>=${symbols.length})break R;p++;${stores.join('')}`;
}

/** The 28 bits of a varint's four bytes. */
const bitsOf = (name: string) =>
  `((${name}&127)|(${name}>>>1&0x3f80)|(${name}>>>2&0x1fc000)|(${name}>>>3&0xfe00000))`;

/** A zigzag varint: up to 4 bytes by one load and masks, up to 8 by two; longer ones and integers beyond 2^53 go the checked way. */
function varintSource(step: FieldStep): string {
  const {flat, targets, isTime} = step;
  const range = flat.kind === 'int' ? 'if(v!==(v))break R;' : '';
  const time = isTime ? 'if(!(v>=0&&v<=8.64e15))break R;' : '';
  const short = `m=a&(t^(t-1));m=${bitsOf('m')};m=(m>>>1)^-(m&1);${isTime ? 'if(m<0)break R;' : ''}${store(step, 'm')}`;
  const long = `{m=dv.getInt32(p+4,true);t=~m&0x80808080;if(t===0)break R;m&=t^(t-1);
const h=${bitsOf('m')};if(h>0x3ffffff)break R;
const o=${bitsOf('a')};let v=h*134217728+(o>>>1);if(o&1)v=-v-1;${range}${time}${store(step, 'v')}p=p+4+((39-Math.clz32(t&-t))>>>3);}`;
  const any = `t=~a&0x80808080;
if(t!==0){${targets.length > 0 ? short : ''}p=p+((39-Math.clz32(t&-t))>>>3);}
else ${long}`;
  if (!isTime) return `a=dv.getInt32(p,true);${any}`;
  // Today's timestamps have 6 bytes. The quarter keeps the sum from looking like an integer: V8 would add it as one, with
  // conversions and checks, and make a double of it again.
  return `a=dv.getInt32(p,true);m=dv.getUint16(p+4,true);
if((a&0x80808081)===${0x80808080 | 0}&&(m&0x8080)===0x80){${store(step, `(((m&127)|(m>>>1&0x3f80))*134217728+0.25+(${bitsOf('a')}>>>1))-0.25`)}p=p+6;}
else{${any}}`;
}
