/** The events of one type: code generated for its fields draws them and writes records of a log batch, without an object an event. */
import type {Value} from '../expr/types.ts';
import {murmur2, partitionOf, partitionOfBytes} from '../log/partition.ts';
import type {EventType, Field} from '../model/types.ts';
import {writeLong} from '../schema/write.ts';
import {cellsOf, digits4, hex2, wordAt} from './cells.ts';
import {aliasOf, quantilesOf} from './distributions.ts';
import {idOf, uuidOf} from './ids.ts';
import {keysOf} from './random.ts';
import {drawCode, type Parts, textOf, writeCode} from './shape-code.ts';
import type {FieldPlan, Source} from './types.ts';

/** What an event is made of besides its type. `t`: event time where it was drawn, epoch ms; `a`, `b`: keys of its draws. */
export type Made = {
  n: number;
  t: number;
  entity: number;
  session: number;
  slot: number;
  a: number;
  b: number;
};

export type Shape = {
  readonly eventType: EventType;
  /** Writes the record (length and frame) at `p`; `timeMs` is the event time that it gets. @returns position after it. */
  write(u8: Uint8Array, v: DataView, p: number, timeMs: number, made: Made): number;
  /** Room that `write` needs. */
  readonly sizeMax: number;
  partition(made: Made): number;
  /** The same event as values of its fields, by name; also for the sessions' memory, when an event is only counted. */
  values(timeMs: number, made: Made): Record<string, Value>;
  /** As `values`, of these fields alone. */
  pick(names: ReadonlySet<string>): Shape['values'];
  /** Whether later events refer to its values. */
  readonly remembers: boolean;
  idOf(n: number): string;
};

export type ShapeOptions = {
  eventType: EventType;
  plans: readonly (FieldPlan | null)[];
  schemaId: number;
  partitions: number;
  seed: number;
  prefix: string;
  memory: Float64Array[];
};

type Draw = (out: Float64Array, made: Made) => void;

export function compileShape(options: ShapeOptions): Shape {
  const {eventType, plans, prefix, seed} = options;
  const {fields} = eventType;
  const parts = plans.map((plan): Parts => {
    if (!plan) return {};
    const {source} = plan;
    const weights = 'weights' in source && source.of === 'draw' ? source.weights : null;
    const alias = weights ? aliasOf(weights) : undefined;
    const drawn = source.kind === 'number' && source.distribution.kind !== 'uniform';
    return {
      keep: alias?.keep,
      other: alias?.other,
      quantiles: drawn ? quantilesOf(source.distribution as Parameters<typeof quantilesOf>[0]) : undefined,
    };
  });
  const cells = plans.map((plan, at) =>
    plan && (plan.source.kind === 'table' || plan.source.kind === 'related')
      ? cellsOf(fields[at]!, plan.source.values)
      : undefined,
  );
  const bound: Record<string, unknown> = {M: options.memory, D4: digits4, H2: hex2, writeLong, writeUuid};
  for (const [at, part] of parts.entries()) {
    if (part.keep) Object.assign(bound, {[`keep${at}`]: part.keep, [`other${at}`]: part.other});
    if (part.quantiles) {
      const {start, step, tail} = part.quantiles;
      Object.assign(bound, {[`start${at}`]: start, [`step${at}`]: step, [`tail${at}`]: tail});
    }
    const cell = cells[at];
    if (cell) Object.assign(bound, {[`W${at}`]: cell.words, [`L${at}`]: cell.lengths});
  }
  const compile = (args: string, body: string) =>
    new Function(...Object.keys(bound), `return (${args}) => { ${body} };`)(...Object.values(bound));
  const order = drawOrder(plans);
  const head = headCode(plans, seed);
  const drawAll = order.map((at) => drawCode(plans[at]!, at, parts[at]!)).join('\n');
  const draw: Draw = compile(
    'out,made',
    `${head} ${drawAll} ${order.map((at) => `out[${at}]=${plans[at]!.source.nullShare > 0 ? `o${at}?NaN:x${at}` : `x${at}`};`).join('')}`,
  );
  const sizes = plans.map((plan, at) => (plan ? sizeOf(plan.source, cells[at]?.stride ?? 0) : 48));
  const write: Shape['write'] = compile(
    'u8,v,pos,timeMs,made',
    `${head} ${drawAll} let p=pos+9; u8[pos+4]=0; v.setInt32(pos+5,${options.schemaId});
     ${fields.map((field, at) => fieldCode(field, plans[at]!, at, cells[at]?.stride ?? 0, prefix)).join('\n')}
     v.setInt32(pos,p-pos-4,true); return p;`,
  );
  const slots = new Float64Array(fields.length);
  const pick: Shape['pick'] = (names) => {
    const wanted = fields.flatMap((field, at) => (names.has(field.name) ? [{field, at}] : []));
    return (timeMs, made) => {
      draw(slots, made);
      const row: Record<string, Value> = {};
      for (const {field, at} of wanted) {
        const plan = plans[at];
        if (plan) row[field.name] = valueOfDraw(plan.source, slots[at]!, made);
        else row[field.name] = field.role === 'id' ? idOf(prefix, made.n) : timeMs;
      }
      return row;
    };
  };
  const valuesOf = pick(new Set(fields.map(({name}) => name)));
  return {
    eventType,
    write,
    sizeMax: sizes.reduce((sum, size) => sum + size, 64),
    partition: partitioner(options, order, parts, compile, head, valuesOf),
    values: valuesOf,
    pick,
    remembers: plans.some((plan) => plan?.remember != null),
    idOf: (n) => idOf(prefix, n),
  };
}

/** Fields that repeat another one's draw come after it. */
function drawOrder(plans: readonly (FieldPlan | null)[]): number[] {
  const drawn = plans.flatMap((plan, at) => (plan ? [at] : []));
  const related = (at: number) => plans[at]!.source.kind === 'related';
  return [...drawn.filter((at) => !related(at)), ...drawn.filter(related)];
}

/** Locals and keys of the scopes that are used. */
function headCode(plans: readonly (FieldPlan | null)[], seed: number): string {
  const names = plans.flatMap((plan, at) => (plan ? [`x${at}=0`, `o${at}=false`] : []));
  const used = new Set(plans.map((plan) => plan?.source.scope));
  const keys = (name: string, of: string, kind: number) => {
    const {low, high} = keysOf(seed, kind);
    return `const ${name}A=Math.imul((${of}|0)^${low},0x85ebca6b), ${name}B=(Math.imul(${of}|0,0xc2b2ae35)^${high})+Math.floor(${of}/4294967296)*0x27d4eb2f|0;`;
  };
  const session = used.has('session') ? keys('S', 'session', 64) : '';
  const entity = used.has('entity') ? keys('E', 'entity', 63) : '';
  return `const n=made.n, t=made.t, entity=made.entity, session=made.session, slot=made.slot, A=made.a, B=made.b;
    let z=0, q=0, c=0, r=0, ${names.join(',') || 'x=0'}; ${session} ${entity}`;
}

function fieldCode(field: Field, plan: FieldPlan | null, at: number, stride: number, prefix: string): string {
  if (plan) return writeCode(plan, at, field.required, stride);
  if (field.role === 'time')
    return `z=Math.floor(timeMs/134217728); q=(timeMs-z*134217728)<<1;
      v.setInt32(p,(q&127)|((q&16256)<<1)|((q&2080768)<<2)|((q>>>21)<<24)|0x80808080,true); p+=4;
      while (z>127) { u8[p++]=z|128; z>>>=7; } u8[p++]=z;`;
  const words = [0, 4, 8, 12, 16, 20].map(
    (start) => `v.setInt32(p+${start + 1},${wordAt(prefix, start)},true);`,
  );
  return `u8[p]=72; ${words.join(' ')} z=Math.floor(n/4294967296); q=n|0;
    v.setInt32(p+25,H2[(z>>>8)&255]|(H2[z&255]<<16),true);
    v.setInt32(p+29,H2[q>>>24]|(H2[(q>>>16)&255]<<16),true);
    v.setInt32(p+33,H2[(q>>>8)&255]|(H2[q&255]<<16),true); p+=37;`;
}

function sizeOf(source: Source, stride: number): number {
  if (source.kind === 'text')
    return (
      16 + source.parts.reduce((sum, part) => sum + (part.kind === 'fixed' ? 3 * part.text.length : 12), 0)
    );
  if (source.kind === 'key') return 24 + 3 * (source.prefix.length + source.suffix.length);
  return Math.max(48, stride * 4 + 16);
}

function writeUuid(x: number, u8: Uint8Array, p: number): number {
  const text = uuidOf(x);
  u8[p] = 72;
  for (let i = 0; i < 36; i++) u8[p + 1 + i] = text.charCodeAt(i);
  return p + 37;
}

function valueOfDraw(source: Source, x: number, {n, session}: Made): Value {
  // A draw that is not a number is NULL.
  if (Number.isNaN(x)) return null;
  switch (source.kind) {
    case 'table':
    case 'related':
      return source.values[x]!;
    case 'key':
      if (source.width === 0) return x + 1;
      return source.prefix + String(x + 1).padStart(source.width, '0') + source.suffix;
    case 'text':
      return textOf(source, x, source.of === 'event' ? n : session);
    case 'uuid':
      return uuidOf(x);
    default:
      return x;
  }
}

/** By the key's text as Kafka decides; tables are hashed beforehand. */
function partitioner(
  {eventType, plans, partitions, prefix}: ShapeOptions,
  order: readonly number[],
  parts: readonly Parts[],
  compile: (args: string, body: string) => unknown,
  head: string,
  valuesOf: Shape['values'],
): Shape['partition'] {
  if (partitions === 1) return () => 0;
  const scratch = new Uint8Array(36);
  for (let i = 0; i < 24; i++) scratch[i] = prefix.charCodeAt(i);
  const byId = (n: number): number => {
    const low = n >>> 0;
    const high = Math.floor(n / 4294967296);
    for (let i = 0; i < 6; i++) {
      const byte = i < 2 ? (high >>> (8 - 8 * i)) & 255 : (low >>> (40 - 8 * i)) & 255;
      scratch[24 + 2 * i] = hex2[byte]!;
      scratch[25 + 2 * i] = hex2[byte]! >>> 8;
    }
    return partitionOfBytes(scratch, partitions);
  };
  const at = eventType.fields.findIndex(({name}) => name === eventType.key);
  const plan = plans[at];
  if (!plan) return ({n}) => byId(n);
  const {source} = plan;
  if (source.kind !== 'table')
    return (made) => {
      const value = valuesOf(0, made)[eventType.key] ?? null;
      return partitionOf(value === null ? null : String(value), idOf(prefix, made.n), partitions);
    };
  const table = Int32Array.from(source.values, (value) =>
    value === null ? -1 : (murmur2(Buffer.from(String(value))) & 0x7fffffff) % partitions,
  );
  if (source.of === 'entity' && plan.recall === null && source.nullShare === 0)
    return ({entity}) => table[entity]!;
  const own = order
    .filter((index) => index === at)
    .map((index) => drawCode(plans[index]!, index, parts[index]!));
  const indexOf = compile(
    'made',
    `${head} ${own.join('\n')} return ${source.nullShare > 0 ? `o${at}?-1:` : ''}x${at};`,
  ) as (made: Made) => number;
  return (made) => {
    const index = indexOf(made);
    const partition = index < 0 ? -1 : table[index]!;
    return partition < 0 ? byId(made.n) : partition;
  };
}
