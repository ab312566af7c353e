/** The test files of a team, `config/tests/*.yaml`, with every mistake told at its place. */
import {basename, join} from 'node:path';
import type {Diagnostics, Path} from '../config/diagnostics.ts';
import {readYaml, yamlNames} from '../config/files.ts';
import {suggest} from '../config/nearest.ts';
import {type ConfigNode, child, type MapNode, quote} from '../config/nodes.ts';
import {parseDate} from '../expr/calendar.ts';
import type {Domain, EventType, Platform} from '../model/types.ts';
import {buildPlan} from '../process/plan/build.ts';
import {parseDuration} from '../quantity.ts';
import {readExpectation} from './scenario-expect.ts';
import {checkKeys, firstLine, type ScenarioContext, wrongType} from './scenario-nodes.ts';
import type {Scenario, ScenarioStep, Suite} from './scenario-types.ts';
import {instantOf, jsonOf} from './scenario-values.ts';

const suiteKeys = ['domain', 'tests'];
const scenarioKeys = ['name', 'date', 'partitions', 'lookups', 'events', 'expect'];
const stepWords = ['advance', 'wait', 'restart'];
const partitionsMax = 64;

/** Reads every test file. Mistakes go to `diagnostics`; what has one is left out. */
export function readSuites(platform: Platform, diagnostics: Diagnostics): Suite[] {
  const dir = join(platform.root, 'config/tests');
  return yamlNames(platform.root, dir, diagnostics).flatMap((name) => {
    const {file, node} = readYaml(platform.root, join(dir, name), diagnostics);
    if (node?.kind !== 'map') return [];
    checkKeys(node, suiteKeys, [], diagnostics);
    const domain = domainOf(platform, node, basename(name, '.yaml'), diagnostics);
    if (!domain) return [];
    const plans = domain.aggregations.map((aggregation) => buildPlan(domain, aggregation));
    const tests = child(node, 'tests');
    if (tests?.kind !== 'list') {
      const place = tests?.place ?? firstLine(node);
      diagnostics.error(place, tests ? 'TYPE_WRONG' : 'KEY_MISSING', 'a test file has a list of `tests:`', {
        path: ['tests'],
        hint: 'tests: [{name: ..., events: [...], expect: {...}}]',
      });
      return [];
    }
    const names = new Set<string>();
    const scenarios = tests.items.flatMap((item, index) => {
      const scenario = readScenario(item, ['tests', index], {domain, plans, date: '', diagnostics});
      if (!scenario) return [];
      if (names.has(scenario.name))
        diagnostics.error(item.place, 'NAME_DUPLICATE', `two tests are named ${quote(scenario.name)}`, {
          path: ['tests', index, 'name'],
        });
      names.add(scenario.name);
      return [scenario];
    });
    return [{file: file.shown, path: file.path, domain, plans, scenarios}];
  });
}

function domainOf(
  {domains}: Platform,
  node: MapNode,
  fallback: string,
  diagnostics: Diagnostics,
): Domain | undefined {
  const named = child(node, 'domain');
  const name = named?.kind === 'scalar' ? String(named.value) : fallback;
  const domain = domains.find((each) => each.name === name);
  if (!domain)
    diagnostics.error(named?.place ?? firstLine(node), 'VALUE_UNKNOWN', `there is no domain ${quote(name)}`, {
      path: ['domain'],
      hint:
        suggest(
          name,
          domains.map((each) => each.name),
        ) ?? 'write domain: <name>, or name the file as the domain',
    });
  return domain;
}

function readScenario(node: ConfigNode, path: Path, context: ScenarioContext): Scenario | undefined {
  const {diagnostics} = context;
  if (node.kind !== 'map') return wrongType(node, 'a map of keys', path, diagnostics, '- name: ...');
  checkKeys(node, scenarioKeys, path, diagnostics);
  const name = child(node, 'name');
  const expect = child(node, 'expect');
  if (!name || !expect) {
    for (const [key, value, hint] of [
      ['name', name, 'name: what the test shows'],
      ['expect', expect, 'expect: {rows: {<query>: [...]}}, or expect: snapshot'],
    ] as const)
      if (!value)
        diagnostics.error(firstLine(node), 'KEY_MISSING', `the key "${key}" is missing`, {path, hint});
    return undefined;
  }
  const date = readDate(child(node, 'date'), [...path, 'date'], diagnostics);
  const within = {...context, date};
  const events = child(node, 'events');
  if (events?.kind !== 'list') {
    if (events) wrongType(events, 'a list', [...path, 'events'], diagnostics);
    else
      diagnostics.error(firstLine(node), 'KEY_MISSING', 'the key "events" is missing', {
        path,
        hint: 'events: [{<event type>: {...}}, {advance: "10:30"}]',
      });
    return undefined;
  }
  const steps = events.items.flatMap(
    (item, index) => readStep(item, [...path, 'events', index], within) ?? [],
  );
  const isSnapshot = expect.kind === 'scalar' && expect.value === 'snapshot';
  const expectation = isSnapshot ? 'snapshot' : readExpectation(expect, [...path, 'expect'], within);
  if (!expectation) return undefined;
  return {
    name: name.kind === 'scalar' ? name.text : 'a test',
    line: node.place.file.position(node.place.start).line,
    partitions: readPartitions(child(node, 'partitions'), [...path, 'partitions'], diagnostics),
    lookups: readLookups(child(node, 'lookups'), [...path, 'lookups'], within),
    steps,
    expect: expectation,
  };
}

function readDate(node: ConfigNode | undefined, path: Path, diagnostics: Diagnostics): string {
  if (!node) return '2026-01-05';
  if (node.kind === 'scalar' && parseDate(node.text) !== undefined) return node.text;
  wrongType(node, 'a date: 2026-01-05', path, diagnostics);
  return '2026-01-05';
}

function readPartitions(node: ConfigNode | undefined, path: Path, diagnostics: Diagnostics): number {
  if (!node) return 1;
  const value = node.kind === 'scalar' ? node.value : undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= partitionsMax)
    return value;
  wrongType(node, `a whole number from 1 to ${partitionsMax}`, path, diagnostics);
  return 1;
}

function readStep(node: ConfigNode, path: Path, context: ScenarioContext): ScenarioStep | undefined {
  const {diagnostics, domain, date} = context;
  if (node.kind === 'scalar' && node.value === 'restart') return {kind: 'restart'};
  if (node.kind !== 'map')
    return wrongType(node, 'an event or a step', path, diagnostics, 'write {<event type>: {field: value}}');
  const keys = [...node.entries.keys()].filter((key) => key !== 'at');
  const [key = ''] = keys;
  const entry = node.entries.get(key);
  if (keys.length !== 1 || !entry) {
    diagnostics.error(firstLine(node), 'TYPE_WRONG', 'a step has one event or one word', {
      path,
      hint: 'a step an item: - {<event type>: {field: value}}',
    });
    return undefined;
  }
  const {value} = entry;
  const text = value.kind === 'scalar' ? value.text : '';
  if (key === 'restart') return {kind: 'restart'};
  if (key === 'wait') {
    const ms = parseDuration(text);
    if (ms !== undefined) return {kind: 'wait', ms};
    return wrongType(value, 'a duration', [...path, key], diagnostics, 'wait: 30s');
  }
  if (key === 'advance') {
    const toMs = instantOf(text, date);
    if (toMs !== undefined) return {kind: 'advance', toMs};
    return wrongType(value, 'a time', [...path, key], diagnostics, 'advance: "10:30"');
  }
  const eventType = domain.eventTypes.find(({name}) => name === key);
  if (eventType) return readEvent(node, eventType, path, context);
  const names = domain.eventTypes.map(({name}) => name);
  diagnostics.error(entry.key, 'EVENT_TYPE_UNKNOWN', `there is no event type or step ${quote(key)}`, {
    path: [...path, key],
    hint: suggest(key, [...names, ...stepWords]) ?? `event types: ${names.join(', ')}`,
  });
  return undefined;
}

function readEvent(
  node: MapNode,
  eventType: EventType,
  path: Path,
  {date, diagnostics}: ScenarioContext,
): ScenarioStep | undefined {
  const at = child(node, 'at');
  const atMs = at?.kind === 'scalar' ? instantOf(at.text, date) : undefined;
  if (at && atMs === undefined) wrongType(at, 'a time', [...path, 'at'], diagnostics, 'at: "10:05"');
  const {value, key} = node.entries.get(eventType.name)!;
  const {line} = key.file.position(key.start);
  const step = {kind: 'event', eventType, atMs: atMs ?? null, line} as const;
  // Text is sent as it is, so that what is no JSON can be tried, too.
  if (value.kind === 'scalar' && typeof value.value === 'string')
    return {...step, text: value.value, timeMs: null};
  if (value.kind !== 'map')
    return wrongType(value, 'the fields of an event', [...path, eventType.name], diagnostics);
  let timeMs: number | null = null;
  const members: string[] = [];
  for (const [name, {key: place, value: given}] of value.entries) {
    const field = eventType.fields.find((each) => each.name === name || each.aliases.includes(name));
    if (!field && eventType.transform) {
      // A transform reads what it likes.
      members.push(`${JSON.stringify(name)}:${jsonOf(given)}`);
      continue;
    }
    if (!field) {
      diagnostics.error(place, 'FIELD_UNKNOWN', `${eventType.name} has no field ${quote(name)}`, {
        path: [...path, eventType.name, name],
        hint:
          suggest(
            name,
            eventType.fields.map((each) => each.name),
          ) ?? `to send it all the same, write the event as JSON text: ${eventType.name}: '{...}'`,
      });
      continue;
    }
    const instant =
      field.type === 'timestamp' && given.kind === 'scalar' && typeof given.value === 'string'
        ? instantOf(given.value, date)
        : undefined;
    if (field.role === 'time') timeMs = instant ?? numberOf(given);
    const json = instant === undefined ? jsonOf(given) : JSON.stringify(new Date(instant).toISOString());
    members.push(`${JSON.stringify(name)}:${json}`);
  }
  return {...step, text: `{${members.join(',')}}`, timeMs};
}

const numberOf = (node: ConfigNode): number | null =>
  node.kind === 'scalar' && typeof node.value === 'number' ? node.value : null;

/** Rows of lookups as CSV text, which is what snapshots are made of. */
function readLookups(
  node: ConfigNode | undefined,
  path: Path,
  {domain, diagnostics}: ScenarioContext,
): Map<string, string> {
  const lookups = new Map<string, string>();
  if (!node) return lookups;
  if (node.kind !== 'map') {
    wrongType(node, 'a map of lookups', path, diagnostics, 'lookups: {products: [{product_id: p1, ...}]}');
    return lookups;
  }
  for (const [name, {key, value}] of node.entries) {
    const lookup = domain.lookups.find((each) => each.name === name);
    if (!lookup) {
      const names = domain.lookups.map((each) => each.name);
      diagnostics.error(key, 'LOOKUP_UNKNOWN', `there is no lookup ${quote(name)}`, {
        path: [...path, name],
        ...(suggest(name, names) ? {hint: suggest(name, names)!} : {}),
      });
      continue;
    }
    if (value.kind !== 'list') {
      wrongType(value, 'a list of rows', [...path, name], diagnostics);
      continue;
    }
    const columns = [lookup.key, ...lookup.columns.map((column) => column.name)];
    const lines = value.items.map((row, index) => {
      if (row.kind !== 'map') {
        wrongType(row, 'a row: {column: value}', [...path, name, index], diagnostics);
        return '';
      }
      checkKeys(row, columns, [...path, name, index], diagnostics);
      return columns.map((column) => csvCell(child(row, column), lookup.nulls[0] ?? '')).join(',');
    });
    lookups.set(name, [columns.join(','), ...lines, ''].join('\n'));
  }
  return lookups;
}

const csvCell = (node: ConfigNode | undefined, missing: string): string => {
  const text = node?.kind === 'scalar' ? node.text : missing;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
