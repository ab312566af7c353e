/** Quantities as people write them in YAML: "10m", "64MiB", "10000/s", "5%", "5M". */
const durationUnits: Record<string, number> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const byteUnits: Record<string, number> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};
const countUnits: Record<string, number> = {'': 1, k: 1e3, K: 1e3, M: 1e6, G: 1e9};

function scale(text: string, units: Record<string, number>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text.trim());
  const factor = match && Object.hasOwn(units, match[2]!) ? units[match[2]!] : undefined;
  if (!match || factor === undefined) return undefined;
  const value = Number(match[1]) * factor;
  return Number.isSafeInteger(Math.round(value)) && Math.abs(value - Math.round(value)) < 1e-6
    ? Math.round(value)
    : undefined;
}

/** "10m", "1h", "250ms", "1.5s" -> milliseconds; undefined when it is none. A bare number other than 0 has no unit and is none. */
export function parseDuration(text: string): number | undefined {
  if (text.trim() === '0') return 0;
  return scale(text, durationUnits);
}

/** "64MiB", "20GB" -> bytes. */
export const parseBytes = (text: string): number | undefined => scale(text, byteUnits);

/** "5M", "1000", "64k" -> a count. */
export const parseCount = (text: string): number | undefined => scale(text, countUnits);

/** "10000/s", "600/m" -> events per second. */
export function parseRate(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?[kKM]?)\/(s|m|h)$/.exec(text.trim());
  const count = match ? parseCount(match[1]!) : undefined;
  return match && count !== undefined ? (count * 1000) / durationUnits[match[2]!]! : undefined;
}

/** "5%" -> 0.05; "0.5%" -> 0.005. */
export function parseShare(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)%$/.exec(text.trim());
  if (!match) return undefined;
  const share = Number(match[1]) / 100;
  return share <= 1 ? share : undefined;
}

/** 600000 -> "10m": the largest unit that divides. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  for (const unit of ['d', 'h', 'm', 's'] as const)
    if (ms % durationUnits[unit]! === 0) return `${ms / durationUnits[unit]!}${unit}`;
  return `${ms}ms`;
}

/** 67108864 -> "64 MiB". */
export function formatBytes(bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB'] as const)
    if (bytes >= byteUnits[unit]!) return `${+(bytes / byteUnits[unit]!).toFixed(1)} ${unit}`;
  return `${bytes} B`;
}

/** 1, "row" -> "1 row"; 1234, "row" -> "1,234 rows". @param many default: with an "s" */
export const counted = (count: number, one: string, many = `${one}s`): string =>
  `${count.toLocaleString('en-US')} ${count === 1 ? one : many}`;
