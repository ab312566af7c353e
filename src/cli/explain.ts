import {explainConfig, formatExplained} from '../config/explain.ts';
import {plansToRun} from '../platform/apply-plans.ts';
import {dirsOf} from '../platform/places.ts';
import {readRevisions} from '../platform/revisions.ts';
import {explainPlan} from '../process/plan/explain.ts';
import type {CommandBody} from './command.ts';
import {load, printDiagnostics, queryOf, requirePlatform, unknownName} from './context.ts';
import {printJson} from './output.ts';

export const plan: CommandBody = async (call) => {
  const platform = await requirePlatform(call);
  const dirs = dirsOf(platform);
  const all = plansToRun(platform.domains, readRevisions(dirs.revisions), dirs);
  const wanted = call.args[0] === undefined ? undefined : queryOf(platform, call.args[0]);
  const plans = all.filter(({id}) => wanted === undefined || id === wanted);
  if (call.options.json) printJson(call.io, plans);
  else call.io.stdout.write(plans.map(explainPlan).join('\n'));
  return 0;
};

export const config: CommandBody = async (call) => {
  const loaded = await load(call);
  if (!loaded.ok) {
    printDiagnostics(call, loaded.diagnostics);
    return 2;
  }
  const under = call.args[0];
  const values = explainConfig(loaded.config, under);
  if (under !== undefined && values.length === 0) {
    const sections = explainConfig(loaded.config).map(({path}) => path.split(/[.[]/)[0]!);
    throw unknownName('value', under, [...new Set(sections)]);
  }
  if (call.options.json) printJson(call.io, values);
  else call.io.stdout.write(`${formatExplained(values)}\n`);
  return 0;
};
