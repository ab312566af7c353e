import {explainConfig} from '../config/explain.ts';
import {buildPlans} from '../process/plan/build.ts';
import {explainPlan} from '../process/plan/explain.ts';
import type {CommandBody} from './command.ts';
import {load, printDiagnostics, queryOf, requirePlatform, unknownName} from './context.ts';
import {formatTable, printJson} from './output.ts';

export const plan: CommandBody = async (call) => {
  const platform = await requirePlatform(call);
  const all = buildPlans(platform.domains);
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
  const all = explainConfig(loaded.config);
  const wanted = call.args[0];
  const lines = all.filter(
    ({path}) =>
      wanted === undefined ||
      path === wanted ||
      path.startsWith(`${wanted}.`) ||
      path.startsWith(`${wanted}[`),
  );
  if (wanted !== undefined && lines.length === 0)
    throw unknownName('value', wanted, [...new Set(all.map(({path}) => path.split(/[.[]/)[0]!))]);
  if (call.options.json) printJson(call.io, lines);
  else
    call.io.stdout.write(
      formatTable(
        ['value', 'is', 'from', 'instead of'],
        lines.map(({path, value, origin, replaced}) => [
          path,
          value,
          origin,
          replaced.map((old) => `${old.value} (${old.origin})`).join(', '),
        ]),
        80,
      ),
    );
  return 0;
};
