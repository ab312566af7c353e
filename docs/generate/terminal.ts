import {palette} from '../../src/cli/output.ts';
import {picture} from '../../src/cli/picture.ts';
import type {PlatformStatus} from '../../src/platform/status.ts';
import type {QueryStatus} from '../../src/process/types.ts';

const startedMs = Date.UTC(2026, 0, 5, 9, 0, 0);

function query(name: string, watermark: string): QueryStatus {
  const counts = {
    read: 148_120,
    aggregated: 148_120,
    corrected: 0,
    lateInPart: 0,
    filtered: 0,
    duplicate: 0,
    late: 0,
    dead: 0,
    replayed: 0,
  };
  return {
    query: `flights.${name}`,
    state: 'running',
    counts: [{topic: 'flights.departure', partition: 0, ...counts}],
    watermarkMs: Date.parse(watermark),
    lagEvents: 214,
    lagMs: 38,
    groups: 16,
    openWindows: 3,
    memoryBytes: 65_536,
    checkpointEpoch: 14,
    observedMs: startedMs,
  };
}

const delivery = (table: string, written: number): PlatformStatus['deliveries'][number] => ({
  sink: 'analytics',
  table: `flights.${table}__r1`,
  state: 'running',
  emitted: written,
  written,
  pending: 0,
  dead: 0,
  lagEvents: 0,
  lagMs: 0,
});

/** A moment of the example platform, made up but for its shape. */
const moment: PlatformStatus = {
  name: 'millrace-example',
  env: 'dev',
  pid: 4242,
  startedMs,
  url: 'http://127.0.0.1:4000',
  phase: 'running',
  inputs: [
    {domain: 'flights', name: 'departures', state: 'running', share: 0.44, rows: 148_334, rejected: 0},
  ],
  generators: [],
  queries: [
    query('departures_per_day', '2013-06-10T21:50:00Z'),
    query('traffic', '2013-06-10T21:50:00Z'),
    query('aircraft_per_month', '2013-06-10T21:50:00Z'),
    query('airlines_per_hour', '2013-06-10T21:50:00Z'),
  ],
  startingQueries: [],
  deliveries: [
    delivery('departures_per_day', 8_412),
    delivery('traffic', 71_530),
    delivery('aircraft_per_month', 2_906),
    delivery('airlines_per_hour', 60_221),
  ],
  rows: [],
  raw: [
    {
      sink: 'records',
      table: 'flights.departure',
      state: 'running',
      written: 147_700,
      dead: 0,
      pending: 0,
      lagEvents: 634,
      lagMs: 4,
    },
  ],
  events: [],
  totals: {
    received: 148_334,
    appended: 148_334,
    duplicate: 0,
    rejected: 0,
    rowsWritten: 143_069,
    late: 0,
    dead: 0,
    ledgerBalanced: true,
  },
};

const colors: Record<number, string> = {31: '#e06c75', 32: '#98c379', 33: '#e5c07b', 36: '#56b6c2'};
const fontPx = 14;
const linePx = 19;
const columnPx = 8.43;

/** The live view of the terminal, as an SVG image for the README. */
export function terminalPicture(): string {
  const tips = [
    'npx millrace query "select * from flights.departures_per_day order by window_start desc limit 5"',
    'npx millrace tap flights.departure',
    'npx millrace ledger',
  ];
  const lines = picture(
    moment,
    {events: 10_003, rows: 8_751},
    startedMs + 15_000,
    tips,
    palette({isTTY: true}, {}),
  );
  const width = Math.ceil(Math.max(...lines.map((line) => [...plain(line)].length)) * columnPx) + 40;
  const height = lines.length * linePx + 40;
  const body = lines.map((line, row) => `  <text x="20" y="${30 + row * linePx}">${spans(line)}</text>`);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="The live view of millrace run">`,
    `  <rect width="100%" height="100%" rx="8" fill="#1e2127"/>`,
    `  <g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="${fontPx}" fill="#d7dae0" xml:space="preserve">`,
    ...body,
    '  </g>',
    '</svg>',
    '',
  ].join('\n');
}

const escapeCharacter = '\u001b';
const code = new RegExp(`${escapeCharacter}\\[(\\d+)m`);
const plain = (line: string): string =>
  line
    .split(code)
    .filter((_, index) => index % 2 === 0)
    .join('');

/** Coloured stretches of a line, each placed by its column so that fonts cannot move them. */
function spans(line: string): string {
  let column = 0;
  let style = '';
  return line
    .split(code)
    .map((part, index) => {
      if (index % 2 === 1) {
        style = styleOf(Number(part));
        return '';
      }
      const at = column;
      column += [...part].length;
      if (part.trim() === '') return '';
      return `<tspan x="${(20 + at * columnPx).toFixed(1)}"${style}>${escapeXml(part)}</tspan>`;
    })
    .join('');
}

function styleOf(number: number): string {
  if (number === 1) return ' font-weight="bold"';
  if (number === 2) return ' fill="#7f848e"';
  return colors[number] ? ` fill="${colors[number]}"` : '';
}

const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll(' ', '\u00a0');
