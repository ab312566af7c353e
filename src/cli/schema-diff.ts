import {canRead} from '../schema/compatibility.ts';
import {differenceOf} from '../schema/registry-difference.ts';
import {openRegistry} from '../schema/registry-open.ts';
import type {CommandBody} from './command.ts';
import {openPlatform} from './context.ts';
import {palette, printJson} from './output.ts';
import {versionOf, versionsOf} from './schema.ts';

export const diff: CommandBody = async (call) => {
  const {dirs} = await openPlatform(call);
  const [name = '', before = '', after] = call.args;
  const registry = await openRegistry(dirs.registry, {readOnly: true});
  try {
    const versions = await versionsOf(registry, name);
    const older = versionOf(versions, before);
    const newer = after === undefined ? versions.at(-1)! : versionOf(versions, after);
    const changes = differenceOf(older.schema, newer.schema);
    const backward = canRead(newer.schema, older.schema);
    const forward = canRead(older.schema, newer.schema);
    const {io} = call;
    if (call.options.json) {
      const {subject} = newer;
      printJson(io, {subject, before: older.version, after: newer.version, changes, backward, forward});
    } else {
      const color = palette(io.stdout, io.env);
      const signs = {added: color.green('+'), removed: color.red('-'), renamed: '~', changed: '~'};
      for (const {path, change, before: was, after: is} of changes)
        io.stdout.write(
          `${signs[change]} ${path}: ${[was, is].filter((each) => each !== null).join(' -> ')}\n`,
        );
      if (changes.length === 0) io.stdout.write('no difference that Avro sees\n');
      const verdicts = [
        [`version ${newer.version} reads data of ${older.version}`, backward],
        [`version ${older.version} reads data of ${newer.version}`, forward],
      ] as const;
      for (const [what, reasons] of verdicts) {
        io.stdout.write(`${what}: ${reasons.length === 0 ? color.green('yes') : color.red('no')}\n`);
        for (const {code, path, message} of reasons) io.stdout.write(`  ${code} at ${path}: ${message}\n`);
      }
    }
    return changes.length === 0 ? 0 : 3;
  } finally {
    registry.close();
  }
};
