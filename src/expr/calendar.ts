/** Proleptic Gregorian calendar on plain numbers: days since 1970-01-01 and epoch milliseconds, UTC. */
export const dayMs = 86_400_000;

/** Years 0001 to 9999, the range of timestamps and dates. */
export const daysMin = daysFromCivil(1, 1, 1);
export const daysMax = daysFromCivil(9999, 12, 31);
export const timestampMin = daysMin * dayMs;
export const timestampMax = (daysMax + 1) * dayMs - 1;

/** Days since 1970-01-01 of a date. See Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
export function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  return (
    era * 146_097 +
    yearOfEra * 365 +
    Math.floor(yearOfEra / 4) -
    Math.floor(yearOfEra / 100) +
    dayOfYear -
    719_468
  );
}

const yearOfEra = (dayOfEra: number): number =>
  Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );

/** Year, month (1 to 12) and day of month of days since 1970-01-01. */
export function civilFromDays(days: number): {year: number; month: number; day: number} {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yoe = yearOfEra(dayOfEra);
  const dayOfYear = dayOfEra - (365 * yoe + Math.floor(yoe / 4) - Math.floor(yoe / 100));
  const mp = Math.floor((5 * dayOfYear + 2) / 153);
  const month = mp + (mp < 10 ? 3 : -9);
  return {
    year: yoe + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * mp + 2) / 5) + 1,
  };
}

export const isLeap = (year: number): boolean => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
export const daysInMonth = (year: number, month: number): number =>
  month === 2 && isLeap(year) ? 29 : monthDays[month - 1]!;

/** "2024-01-31" -> days since 1970-01-01; undefined when it is no date. */
export function parseDate(text: string): number | undefined {
  const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text.trim());
  return match === null ? undefined : civilDays(match[1]!, match[2]!, match[3]!);
}

function civilDays(yearText: string, monthText: string, dayText: string): number | undefined {
  const [year, month, day] = [Number(yearText), Number(monthText), Number(dayText)];
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return undefined;
  return daysFromCivil(year, month, day);
}

const timestampPattern =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*(Z|z|[+-]\d{2}(?::?\d{2})?)?)?$/;

/**
 * ISO 8601 -> epoch ms: date, or date and time with an optional zone (none: UTC). Digits beyond the millisecond are cut off.
 * @returns undefined when it is no timestamp of the years 0001 to 9999.
 */
export function parseTimestamp(text: string): number | undefined {
  const match = timestampPattern.exec(text.trim());
  if (match === null) return undefined;
  const days = civilDays(match[1]!, match[2]!, match[3]!);
  const [hour, minute, second] = [Number(match[4] ?? 0), Number(match[5] ?? 0), Number(match[6] ?? 0)];
  if (days === undefined || hour > 23 || minute > 59 || second > 59) return undefined;
  const ms = Number((match[7] ?? '').padEnd(3, '0').slice(0, 3));
  const offset = zoneMinutes(match[8]);
  if (offset === undefined) return undefined;
  const result = days * dayMs + ((hour * 60 + minute - offset) * 60 + second) * 1000 + ms;
  return result < timestampMin || result > timestampMax ? undefined : result;
}

function zoneMinutes(zone: string | undefined): number | undefined {
  if (zone === undefined || zone === 'Z' || zone === 'z') return 0;
  const digits = zone.slice(1).replace(':', '');
  const [hours, minutes] = [Number(digits.slice(0, 2)), Number(digits.slice(2) || 0)];
  if (hours > 18 || minutes > 59) return undefined;
  return (zone[0] === '-' ? -1 : 1) * (hours * 60 + minutes);
}

const pad = (value: number, width: number): string => String(value).padStart(width, '0');

/** Days since 1970-01-01 -> "2024-01-31". */
export function formatDate(days: number): string {
  const {year, month, day} = civilFromDays(days);
  return `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}`;
}

/** Epoch ms -> "2024-01-31T12:00:00.000Z". */
export function formatTimestamp(ms: number): string {
  const days = Math.floor(ms / dayMs);
  const rest = ms - days * dayMs;
  const seconds = Math.floor(rest / 1000);
  return `${formatDate(days)}T${pad(Math.floor(seconds / 3600), 2)}:${pad(Math.floor(seconds / 60) % 60, 2)}:${pad(seconds % 60, 2)}.${pad(rest % 1000, 3)}Z`;
}

export const yearOf = (days: number): number => civilFromDays(days).year;
export const monthOf = (days: number): number => civilFromDays(days).month;
export const dayOf = (days: number): number => civilFromDays(days).day;
/** 1 = Monday ... 7 = Sunday, as ISO 8601. */
export const dayOfWeek = (days: number): number => mod(days + 3, 7) + 1;
export const dayOfYear = (days: number): number => days - daysFromCivil(yearOf(days), 1, 1) + 1;

/** Remainder that is never negative. */
export const mod = (value: number, divisor: number): number => value - Math.floor(value / divisor) * divisor;

/** First day of the week (Monday), month, quarter or year that holds the day. */
export function truncateDays(unit: 'day' | 'week' | 'month' | 'quarter' | 'year', days: number): number {
  if (unit === 'day') return days;
  if (unit === 'week') return days - mod(days + 3, 7);
  const {year, month} = civilFromDays(days);
  if (unit === 'month') return daysFromCivil(year, month, 1);
  return daysFromCivil(year, unit === 'year' ? 1 : month - ((month - 1) % 3), 1);
}
