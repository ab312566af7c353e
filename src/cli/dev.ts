import {watch} from 'node:fs';
import {basename, join} from 'node:path';
import {formatDiagnostics} from '../config/diagnostics.ts';
import {PlatformError} from '../errors.ts';
import {applyRunning} from '../platform/apply.ts';
import {lagMaxDefaultMs} from '../platform/change.ts';
import {planChanges} from '../platform/plan.ts';
import type {ChangePlan} from '../platform/plan-types.ts';
import type {RunningPlatform} from '../platform/runtime.ts';
import {lineText} from './apply.ts';
import type {CommandBody, CommandCall} from './command.ts';
import {load} from './context.ts';
import {palette} from './output.ts';
import {formatPlan} from './plan.ts';
import {runWith} from './run.ts';

/** `run`, with the configuration watched: what is safe is applied at once, a broken edit changes nothing and says why. */
export const run: CommandBody = (call) => {
  const {revise, ...options} = call.options;
  // What changed while nothing ran begins anew at the start.
  const started = {...call, options: revise === true ? {...options, revise: 'from-log'} : options};
  return runWith(started, (running, say) => watchConfiguration(call, running, say));
};

/** An editor writes a file in several steps. */
const settleMs = 150;

/** @returns what ends it. */
function watchConfiguration(
  call: CommandCall,
  running: RunningPlatform,
  say: (text: string) => void,
): () => void {
  const {root} = running.platform;
  const stopping = new AbortController();
  const changed = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let busy = Promise.resolve();
  /** What was told last: the same is not told again. */
  let told = '';
  const tell = (text: string) => {
    if (text !== told) say(text.trimEnd());
    told = text;
  };
  const look = async () => {
    const files = [...changed];
    changed.clear();
    if (stopping.signal.aborted) return;
    try {
      await takeLookups(running, files);
      // What is beside the configuration (data of lookups) has no part in a plan.
      if (files.every((file) => !/(\.yaml|\.env)$/.test(file))) return;
      await takeChanges(call, running, tell, stopping.signal);
    } catch (error) {
      if (stopping.signal.aborted) return;
      if (!(error instanceof PlatformError)) throw error;
      tell(`not applied: ${error.code} ${error.message}${error.hint ? `\n  hint: ${error.hint}` : ''}`);
    }
  };
  const notice = (_: string, name: string | null) => {
    if (name === null || !/\.(yaml|csv|env)$|^\.env$/.test(name) || /(^|[\\/])tests[\\/]/.test(name)) return;
    changed.add(name);
    clearTimeout(timer);
    timer = setTimeout(() => {
      busy = busy.then(look);
    }, settleMs);
  };
  const watchers = [
    watch(join(root, 'config'), {recursive: true}, notice),
    watch(root, (event, name) => {
      if (name === '.env') notice(event, name);
    }),
  ];
  return () => {
    stopping.abort(new PlatformError('CHANGE_STOPPED', 'the platform ends'));
    clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
  };
}

/** Lookups whose files changed are read at once, whatever their `refresh`. */
async function takeLookups({platform, engine}: RunningPlatform, files: string[]): Promise<void> {
  const names = new Set(files.map((file) => basename(file)));
  for (const lookup of platform.domains.flatMap(({lookups}) => lookups))
    if (lookup.csv !== null && names.has(basename(lookup.csv))) await engine.refreshLookup(lookup);
}

async function takeChanges(
  call: CommandCall,
  running: RunningPlatform,
  tell: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const {options, io} = call;
  const loaded = await load(call);
  if (!loaded.ok) {
    const errors = loaded.diagnostics.filter(({severity}) => severity === 'error');
    tell(`${formatDiagnostics(errors)}\nnot applied: what runs goes on as it was`);
    return;
  }
  const plan = await planChanges(loaded.platform, running.dirs, loaded.config);
  if (plan.changes.length === 0) {
    tell('nothing to apply: the files mean what runs');
    return;
  }
  if (!isTaken(plan, options.revise === true)) {
    tell(`${formatPlan(plan, palette({}, io.env))}not applied by itself: it is not safe`);
    return;
  }
  for await (const line of applyRunning(running, {yes: false, lagMaxMs: lagMaxDefaultMs, signal})) {
    const text = lineText(line);
    if (text !== '') tell(text);
  }
}

/** Safe changes; new revisions, which lose nothing, when they are asked for. */
const isTaken = ({changes}: ChangePlan, revise: boolean): boolean =>
  changes.every(
    (change) => !change.refused && (change.class === 'safe' || (revise && change.class === 'revision')),
  );
