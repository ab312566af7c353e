import type {FieldSpec} from '../config/fields.ts';
import {secretBackends} from '../config/secrets/registry.ts';
import {platformSpec} from '../config/specs/platform.ts';
import {sinks} from '../sinks/registry.ts';
import type {CommandBody} from './command.ts';
import {load, unknownName} from './context.ts';
import {formatTable, printJson} from './output.ts';

type Component = {kind: string; name: string; summary: string; fields: Record<string, FieldSpec>};

export const run: CommandBody = async (call) => {
  const {args, options, io} = call;
  // Plugins count where there is a configuration; without one the built-in components are shown.
  const loaded = await load(call);
  const sinkSpecs = loaded.ok ? loaded.sinkSpecs : sinks;
  const secretSpecs = loaded.ok ? loaded.secretSpecs : secretBackends;
  const components: Component[] = [
    ...Object.values(sinkSpecs).map(({name, summary, fields}) => ({kind: 'sink', name, summary, fields})),
    ...Object.values(secretSpecs).map(({name, summary, fields}) => ({
      kind: 'secrets',
      name,
      summary,
      fields,
    })),
    ...sectionBackends(sinkSpecs, secretSpecs),
  ];
  const wanted = args[0];
  const found = components.filter(({name}) => wanted === undefined || name === wanted);
  if (found.length === 0)
    throw unknownName('component', wanted!, [...new Set(components.map(({name}) => name))]);
  if (options.json) printJson(io, found);
  else if (wanted === undefined)
    io.stdout.write(
      formatTable(
        ['kind', 'name', 'summary'],
        found.map(({kind, name, summary}) => [kind, name, summary]),
        90,
      ),
    );
  else
    for (const {kind, name, summary, fields} of found) {
      io.stdout.write(`${kind} ${name}: ${summary}\n`);
      const rows = Object.entries(fields).map(([key, field]) => [
        key,
        field.type,
        defaultText(field),
        field.doc,
      ]);
      if (rows.length > 0) io.stdout.write(formatTable(['option', 'type', 'default', 'meaning'], rows, 90));
    }
  return 0;
};

/** Defaults stand in a specification as they are written in YAML: "10m", "64MiB". */
const defaultText = ({default: value, required}: FieldSpec): string =>
  value === undefined
    ? required
      ? 'required'
      : '-'
    : typeof value === 'string'
      ? value
      : JSON.stringify(value);

/** Backends of the sections that have one each so far, from the specification of platform.yaml. */
function sectionBackends(
  sinkSpecs: Parameters<typeof platformSpec>[0],
  secretSpecs: Parameters<typeof platformSpec>[1],
): Component[] {
  const {fields} = platformSpec(sinkSpecs, secretSpecs);
  return ['log', 'registry', 'engine'].flatMap((kind) => {
    const section = fields[kind];
    if (section?.type !== 'object') return [];
    return Object.entries(section.fields).flatMap(([name, field]) =>
      name === 'backend' || field.type !== 'object' || field.unavailable
        ? []
        : [{kind, name, summary: field.doc, fields: field.fields}],
    );
  });
}
