import {avroSchema} from '../schema/avro.ts';
import type {CompatibilityReason} from '../schema/compatibility.ts';
import {type SchemaRegistry, subjectOf} from '../schema/registry.ts';
import {openRegistry} from '../schema/registry-open.ts';
import type {RegisteredSchema} from '../schema/types.ts';
import type {CommandBody} from './command.ts';
import {openPlatform, unknownName} from './context.ts';
import {formatTable, palette, printJson} from './output.ts';

export const list: CommandBody = async (call) => {
  const {dirs} = await openPlatform(call);
  const registry = await openRegistry(dirs.registry, {readOnly: true});
  try {
    const rows = [];
    for (const subject of await registry.subjects())
      for (const {version, id} of await registry.versions(subject)) rows.push({subject, version, id});
    if (call.options.json) printJson(call.io, rows);
    else
      call.io.stdout.write(
        formatTable(
          ['subject', 'version', 'id'],
          rows.map(({subject, version, id}) => [subject, version, id]),
        ),
      );
    return 0;
  } finally {
    registry.close();
  }
};

export const show: CommandBody = async (call) => {
  const {dirs} = await openPlatform(call);
  const [name = '', version] = call.args;
  const registry = await openRegistry(dirs.registry, {readOnly: true});
  try {
    const versions = await versionsOf(registry, name);
    const found = version === undefined ? versions.at(-1)! : versionOf(versions, version);
    printJson(call.io, call.options.json ? found : found.schema);
    return 0;
  } finally {
    registry.close();
  }
};

export const check: CommandBody = async (call) => {
  const {platform, dirs} = await openPlatform(call);
  const registry = await openRegistry(dirs.registry, {readOnly: true});
  try {
    const results: {subject: string; mode: string; reasons: CompatibilityReason[]}[] = [];
    for (const {defaults, eventTypes} of platform.domains)
      for (const eventType of eventTypes) {
        const subject = subjectOf(eventType.topic);
        const mode = defaults.compatibility;
        results.push({subject, mode, reasons: await registry.check(subject, avroSchema(eventType), mode)});
      }
    const broken = results.some(({reasons}) => reasons.length > 0);
    const {io} = call;
    if (call.options.json) printJson(io, results);
    else {
      const color = palette(io.stdout, io.env);
      for (const {subject, mode, reasons} of results) {
        io.stdout.write(
          `${reasons.length === 0 ? color.green('ok') : color.red('breaks')} ${subject} (${mode})\n`,
        );
        for (const {code, path, message} of reasons) io.stdout.write(`  ${code} at ${path}: ${message}\n`);
      }
    }
    return broken ? 3 : 0;
  } finally {
    registry.close();
  }
};

/** Versions of a subject, which may be named by its topic. @throws PlatformError NAME_UNKNOWN */
export async function versionsOf(registry: SchemaRegistry, name: string): Promise<RegisteredSchema[]> {
  const subjects = await registry.subjects();
  // The topic's name will do.
  const subject = subjects.find((each) => each === name || each === subjectOf(name));
  if (subject === undefined) throw unknownName('subject', name, subjects);
  return registry.versions(subject);
}

/** The version with this number. @throws PlatformError NAME_UNKNOWN */
export function versionOf(versions: RegisteredSchema[], wanted: string): RegisteredSchema {
  const found = versions.find(({version}) => String(version) === wanted);
  if (found) return found;
  throw unknownName(
    `version of ${versions[0]!.subject}`,
    wanted,
    versions.map(({version}) => String(version)),
  );
}
