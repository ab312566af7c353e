import type {Diagnostics, Path} from '../config/diagnostics.ts';
import {suggest} from '../config/nearest.ts';
import {type ConfigNode, child, quote} from '../config/nodes.ts';
import type {BackendSpecs} from '../config/specs/platform.ts';
import {Reporter} from './reporter.ts';
import type {BackendChoice} from './types.ts';

/** What the model needs to know of a sink backend beside its options. */
export type SinkSpecs = Record<
  string,
  BackendSpecs[string] & {capabilities?: {raw?: boolean; rawRead?: boolean; query?: boolean}}
>;

/** Sinks that exist without being written, when something refers to them. */
const implicitSinks: Record<string, string> = {analytics: 'chdb', records: 'pglite'};

/** Not a part of the model: a line that moves is no change of it. */
const placesOfSinks = new WeakMap<BackendChoice, string>();

/** Where a sink says where its server is, else where it says what it is: `<file>:<line>:<column>`; undefined when nobody wrote it. */
export const placeOfSink = (choice: BackendChoice): string | undefined => placesOfSinks.get(choice);

type SinkConfig = {backend?: string} & Record<string, unknown>;

/** The sinks of a platform by name, and which of them are used. */
export class SinkNames {
  readonly #written: Record<string, SinkConfig>;
  /** Names that stand in the file, also of sinks with mistakes. */
  readonly #known: Set<string>;
  readonly #specs: SinkSpecs;
  readonly #implicit = new Set<string>();
  readonly #isKnown: boolean;
  readonly #section: ConfigNode | undefined;

  /** @param isKnown false when the file that names the sinks could not be read: then every name may exist. */
  constructor(
    written: Record<string, SinkConfig>,
    node: ConfigNode,
    specs: SinkSpecs,
    isKnown: boolean,
    diagnostics: Diagnostics,
  ) {
    this.#written = written;
    this.#specs = specs;
    this.#isKnown = isKnown;
    const section = node.kind === 'map' ? node.entries.get('sinks')?.value : undefined;
    this.#section = section;
    this.#known = new Set(
      section?.kind === 'map'
        ? [...section.entries].filter(([, {value}]) => value.kind === 'map').map(([name]) => name)
        : [],
    );
    if (this.#known.has('none'))
      new Reporter(node, diagnostics).error(['sinks', 'none'], 'NAME_RESERVED', '"none" means no sink', {
        onKey: true,
        hint: 'give it another name',
      });
  }

  /** Marks a sink as used; reports one that does not exist or cannot do what is wanted. */
  use(name: string, path: Path, reporter: Reporter, purpose: 'rows' | 'raw' | 'lookup' = 'rows'): void {
    if (!this.#isKnown) return;
    if (!this.#known.has(name)) {
      const backend = Object.hasOwn(implicitSinks, name) ? implicitSinks[name]! : undefined;
      if (backend === undefined || !Object.hasOwn(this.#specs, backend)) {
        const candidates = new Set([...this.#known, ...Object.keys(implicitSinks)]);
        reporter.error(path, 'SINK_UNKNOWN', `there is no sink ${quote(name)}`, {
          hint: suggest(name, candidates) ?? 'add it to `sinks:` in platform.yaml',
        });
        return;
      }
      this.#implicit.add(name);
    }
    const backend = this.#backendOf(name);
    const spec = this.#specOf(backend);
    if (purpose === 'raw' && spec?.capabilities?.raw === false)
      reporter.error(path, 'SINK_CAPABILITY', `the sink ${quote(name)} (${backend}) cannot hold raw events`, {
        hint: 'choose another sink, or none',
      });
    if (purpose === 'lookup' && spec?.capabilities?.query === false)
      reporter.error(
        path,
        'SINK_CAPABILITY',
        `the sink ${quote(name)} (${backend}) cannot be asked for rows`,
        {
          hint: 'choose one with a database, or a CSV file',
        },
      );
  }

  /** Whether raw events in a sink can be read back, as far as is known. */
  rawIsRead(name: string): boolean {
    return this.#specOf(this.#backendOf(name))?.capabilities?.rawRead !== false;
  }

  #specOf(backend: string | undefined): SinkSpecs[string] | undefined {
    return backend !== undefined && Object.hasOwn(this.#specs, backend) ? this.#specs[backend] : undefined;
  }

  /** Sinks that were written, and those others that are used. Options are those of the chosen backend. */
  choices(optionsOf: (backend: string) => Record<string, unknown>): Record<string, BackendChoice> {
    const choices: [string, BackendChoice][] = [];
    for (const [name, {backend, ...config}] of Object.entries(this.#written)) {
      if (backend === undefined) continue;
      const choice = {backend, options: (config[backend] ?? {}) as Record<string, unknown>};
      const place = this.#placeOf(name, backend);
      if (place !== undefined) placesOfSinks.set(choice, place);
      choices.push([name, choice]);
    }
    for (const name of this.#implicit)
      choices.push([name, {backend: implicitSinks[name]!, options: optionsOf(implicitSinks[name]!)}]);
    return Object.fromEntries(choices);
  }

  /** Of its leaves: a sink may be put together from several files. */
  #placeOf(name: string, backend: string): string | undefined {
    const sink = child(this.#section, name);
    const leaf = child(child(sink, backend), 'url') ?? child(sink, 'backend');
    if (!leaf) return undefined;
    const {file, start} = leaf.place;
    const {line, column} = file.position(start);
    return `${file.shown}:${line}:${column}`;
  }

  #backendOf(name: string): string | undefined {
    return Object.hasOwn(this.#written, name) ? this.#written[name]!.backend : implicitSinks[name];
  }
}
