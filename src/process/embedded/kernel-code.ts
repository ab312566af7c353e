import type {TypedExpr} from '../../expr/types.ts';
import type {QueryPlan, SourcePlan} from '../plan/nodes.ts';
import {isText} from './decode-columns.ts';
import type {TextDictionary} from './dictionary.ts';
import {createEmitter, type Emitter, exactMax, type Memo, type RowCall} from './kernel-expr.ts';
import {cellOps, objectOps} from './kernel-pane.ts';
import type {SourceScope} from './kernel-scope.ts';

/** What the generated loop reads and calls of the kernel around it. */
export type KernelRun = {
  /**
   * Walks rows from `i` to `to`, adding each to the current pane's group. @returns the row it stopped at: `to`, or one that
   * must be taken exactly (or for which the kernel's keys must grow first: `wantsKeys`).
   */
  run(kernel: unknown, source: unknown, i: number, to: number): number;
  memos: Memo[];
  calls: RowCall[];
  /** For each accumulator `first` or `last`, in plan order: the value that the loop's number stands for. */
  edges: EdgeKind[];
  source: string;
};

/** How a number of the loop becomes the value of `first` or `last`. */
export type EdgeKind = {kind: 'number' | 'boolean'} | {kind: 'column'; column: number} | {kind: 'text'};

export type CodeContext = {
  plan: QueryPlan;
  source: SourcePlan;
  scope: SourceScope;
  /** Dictionaries of group_by columns, for those that do not use a logged column's own codes. */
  dimensionTexts: (TextDictionary | undefined)[];
  /** Dictionary of derived texts for `first` and `last`. */
  edgeTexts: TextDictionary;
  /** Group keys: codes side by side in one integer, or pairs of codes numbered. */
  keys: 'bits' | 'pairs';
};

/** Whether a group_by column uses the codes of the logged column itself: one source, a plain text field. */
export const isDirect = (plan: QueryPlan, scope: SourceScope, name: string): boolean =>
  plan.sources.length === 1 && scope.codeColumn(name) !== undefined;

/** Generates a query's loop over the columns of one of its topics. The code holds indexes, numbers and no text of the plan. */
export function generateKernelRun(context: CodeContext): KernelRun {
  const {plan, source, scope} = context;
  const emitter = createEmitter(scope);
  const isDeduplicated = plan.dedupMs !== undefined;
  if (isDeduplicated) emitter.lines.push('if(U[i]===1){duplicates++;continue;}');
  for (const {name, type, expr} of source.derive) {
    if (isText(type)) emitter.check(expr);
    else emitter.bind(name, emitter.number(expr));
  }
  if (plan.where) emitter.lines.push(`if(${emitter.number(plan.where)}!==1){filtered++;continue;}`);
  const dimensions = plan.groupBy.map((_, index) => dimensionCode(context, emitter, index));
  const edges: EdgeKind[] = [];
  const adds = accumulatorLines(context, emitter, edges);
  const objects = objectOps(plan.accumulators).length;
  const logs = objectOps(plan.accumulators).flatMap((op, k) => (op === 'distinct' ? [k] : []));
  const isSession = plan.window.type === 'session';
  const reload = `G=K.groups.direct;startMs=P.startMs;endMs=P.endMs;T=P.table;mul=P.multiplier;sh=P.shift;m=P.mask;F=P.cells;${range(objects, (k) => `O${k}=P.objects[${k}];`)}${logs.map((k) => `D${k}=P.tokens[${k}];E${k}=D${k}.entries;`).join('')}`;
  const columns = [...scope.used];
  const time = scope.numberColumn('timestamp')!;
  const horizonMs = plan.late === 'correct' ? plan.correctForMs : 0;
  // A backfilled revision has batches that nothing in is late.
  const delay = plan.countAllBelow ? 'W' : `${plan.watermarkMs}`;
  const save = `K.maxMs=max;K.filtered+=filtered;K.corrected+=corrected;${isDeduplicated ? 'K.duplicates+=duplicates;' : ''}`;
  const text = `return (K,S,i,to)=>{
${columns.map((column) => `const C${column}=S.columns[${column}];`).join('')}
const Q=S.calls;${emitter.memos.map((_, k) => `const Y${k}=S.memos[${k}].table;`).join('')}
${plan.groupBy.map((_, k) => `const B${k}=K.shifts[${k}],L${k}=K.limits[${k}];`).join('')}
let P=K.pane,startMs=0,endMs=0,T,mul=0,sh=0,m=0,G,F${range(objects, (k) => `,O${k}`)}${logs.map((k) => `,D${k},E${k}`).join('')};${reload}
${plan.countAllBelow ? 'const W=K.watermarkMs;' : ''}${isDeduplicated ? 'const U=K.isDuplicate;let duplicates=0;' : ''}let max=K.maxMs,lim=max-${delay},filtered=0,corrected=0;
for(;i<to;i++){
const ts=C${time}[i];if(ts>max){max=ts;lim=ts-${delay};}
${emitter.lines.join('\n')}
${dimensions.join('\n')}
${
  isSession
    ? `if(ts<lim){if(ts<lim-${horizonMs})break;corrected++;}`
    : `if(!(ts>=startMs&&ts<endMs)){const N=K.paneAt(ts,lim);if(N===null)break;P=N;${reload}}
if(endMs<=lim){if(endMs+${horizonMs}<=lim)break;corrected++;}`
}
const key=${keyOf(context)};
let e=((Math.imul(key,mul)>>>sh)&m)*2,slot=-1;
for(;;){const k=T[e];if(k===key+1){slot=T[e+1];break;}if(k===0)break;e=(e+2)&(m*2+1);}
${
  isSession
    ? `if(slot<0||!(ts>=K.starts[slot]&&ts<=K.lasts[slot])){${codesSaved(plan)}slot=K.sessionSlot(key,slot,ts);${reload}}`
    : `if(slot<0){const s=P.slots;let g=0;if(s<P.room&&key<G.length&&(g=G[key])!==0){slot=s;P.slots=s+1;T[e]=key+1;T[e+1]=s;P.keys[s]=key;P.groups[s]=g-1;${freshCells(plan)}${range(objects, (k) => `O${k}[s]=null;`)}}else{${codesSaved(plan)}slot=K.addSlot(P,key);${reload}}}`
}
const o=slot*${plan.accumulators.length - objects};
${adds.join('\n')}
}
${save}return i;}`;
  return {run: new Function(text)(), memos: emitter.memos, calls: emitter.calls, edges, source: text};
}

const range = (count: number, write: (k: number) => string): string =>
  Array.from({length: count}, (_, k) => write(k)).join('');

const codesSaved = (plan: QueryPlan): string => range(plan.groupBy.length, (k) => `K.codes[${k}]=c${k};`);

/** Cells of slot `s` before its first event. */
function freshCells(plan: QueryPlan): string {
  const ops = cellOps(plan.accumulators);
  return ops.map(({initial}, i) => `F[s*${ops.length}+${i}]=${initial};`).join('');
}

function keyOf({plan, keys}: CodeContext): string {
  const count = plan.groupBy.length;
  if (count === 0) return '0';
  if (keys === 'bits')
    return Array.from({length: count}, (_, k) => (k === 0 ? 'c0' : `(c${k}<<B${k})`)).join('|');
  let key = 'c0';
  for (let k = 1; k < count; k++) key = `K.pair(${k - 1},${key},c${k})`;
  return key;
}

/** Sets `c<index>`; codes that appear in the loop are checked against what the keys have room for. */
function dimensionCode(
  {plan, scope, dimensionTexts, keys}: CodeContext,
  emitter: Emitter,
  index: number,
): string {
  const {name, type} = plan.groupBy[index]!;
  const expr: TypedExpr = {kind: 'column', type, name};
  if (isDirect(plan, scope, name)) return `const c${index}=C${scope.codeColumn(name)}[i];`;
  const code = isText(type)
    ? emitter.text(expr, dimensionTexts[index]!)
    : `K.numberCode(${index},${emitter.number(expr)})`;
  const room = keys === 'bits' ? `if(c${index}>=L${index}){K.wantsKeys=true;break;}` : '';
  return `const c${index}=${code};${room}`;
}

function accumulatorLines(
  {plan, scope, edgeTexts}: CodeContext,
  emitter: Emitter,
  edges: EdgeKind[],
): string[] {
  let cell = 0;
  let object = 0;
  return plan.accumulators.map((accumulator) => {
    const {op} = accumulator;
    if (op === 'count') {
      const at = `F[o+${cell++}]+=1;`;
      if (accumulator.filter) return `if(${emitter.number(accumulator.filter)}===1)${at}`;
      return accumulator.arg ? `if(${isNull(emitter, accumulator.arg)}===0)${at}` : at;
    }
    if (op === 'sum' || op === 'min' || op === 'max') {
      const value = emitter.number(accumulator.arg);
      return cellLine(op, accumulator.type === 'double', cell++, value);
    }
    const place = object++;
    if (op === 'distinct') return distinctLine(place, tokenOperand(scope, emitter, accumulator.arg));
    if (op === 'quantile') {
      const value = emitter.number(accumulator.arg);
      return `if(${value}===${value})K.quantile(O${place},slot,${value});`;
    }
    const {js, none, edge} = edgeOperand(scope, emitter, accumulator.arg, edgeTexts);
    const index = edges.push(edge) - 1;
    const better = op === 'first' ? '<=' : '>=';
    return `if(${none})0;else{const x=O${place}[slot];if(x===null||ts${better}x.timeMs)K.edge(S,O${place},slot,'${op}',${index},ts,i,${js});}`;
  });
}

function cellLine(op: 'sum' | 'min' | 'max', isDouble: boolean, cell: number, value: string): string {
  const at = `F[o+${cell}]`;
  if (op === 'sum' && isDouble) return `if(${value}===${value})${at}+=${value};`;
  // One test for three things: NULL (NaN), a sum that leaves 2^53, a sum that has left it (NaN).
  if (op === 'sum')
    return `{const x=${at}+${value};if(x<=${exactMax}&&x>=${-exactMax})${at}=x;else if(${value}===${value})K.addWide(P,o+${cell},${value});}`;
  return `if(!(${value}${op === 'min' ? '>=' : '<='}${at})&&${value}===${value})${at}=${value};`;
}

const distinctLine = (place: number, token: string): string =>
  `{const t=${token};if(t!==0){let n=D${place}.used;if(n===E${place}.length){K.extendTokens(D${place},O${place});n=D${place}.used;E${place}=D${place}.entries;}E${place}[n]=slot;E${place}[n+1]=t;D${place}.used=n+2;}}`;

function tokenOperand(scope: SourceScope, emitter: Emitter, arg: TypedExpr): string {
  const column = arg.kind === 'column' ? scope.tokenColumn(arg.name) : undefined;
  return column === undefined ? emitter.token(arg) : `C${column}[i]`;
}

/** 1 when the expression is NULL, else 0. */
const isNull = (emitter: Emitter, arg: TypedExpr): string =>
  emitter.number({kind: 'apply', type: 'boolean', op: 'isnull', args: [arg]});

function edgeOperand(
  scope: SourceScope,
  emitter: Emitter,
  arg: TypedExpr,
  texts: TextDictionary,
): {js: string; none: string; edge: EdgeKind} {
  const column = arg.kind === 'column' ? scope.codeColumn(arg.name) : undefined;
  if (column !== undefined)
    return {js: `C${column}[i]`, none: `C${column}[i]===0`, edge: {kind: 'column', column}};
  if (isText(arg.type as 'string')) {
    const js = emitter.text(arg, texts);
    return {js, none: `${js}===0`, edge: {kind: 'text'}};
  }
  const js = emitter.number(arg);
  return {js, none: `${js}!==${js}`, edge: {kind: arg.type === 'boolean' ? 'boolean' : 'number'}};
}
