/** What is told when more records of a file are bad than `dead_letters.budget` allows. */
import {PlatformError} from '../errors.ts';
import type {IngestFileOptions, IngestReport} from './file.ts';

/** 0.05 -> "5%" */
export const percent = (share: number): string => `${+(share * 100).toFixed(3)}%`;

/** The error that stops a file. @param seen records of this run. @param row the last of them. */
export function overBudget(
  {domain, path}: IngestFileOptions,
  {rejected, reasons}: IngestReport,
  seen: number,
  row: number,
): PlatformError {
  const [code, count] = Object.entries(reasons).sort((a, b) => b[1] - a[1])[0]!;
  const share = percent(domain.defaults.deadLetters.budgetShare);
  return new PlatformError(
    'INPUT_BUDGET',
    `${rejected} of ${seen} records are bad, more than ${share}; most often ${code} (${count})`,
    {
      place: `${path}, row ${row}`,
      hint: `look at them with "npx millrace dlq list ${domain.name}", mend the cause or raise defaults.dead_letters.budget, and ingest again: it goes on behind record ${row}`,
    },
  );
}

/** A file may end before there were enough records to stop it; that too many of them were bad is told all the same. */
export function warnOfBudget(
  {domain, input, telemetry}: IngestFileOptions,
  source: string,
  rejected: number,
  seen: number,
): void {
  const {budgetShare} = domain.defaults.deadLetters;
  if (rejected <= budgetShare * seen) return;
  telemetry.emit('Log', {
    level: 'warn',
    message: `${source}: ${rejected} of ${seen} records were rejected, more than the budget of ${percent(budgetShare)}: npx millrace dlq list ${domain.name}`,
    fields: {domain: domain.name, input: input.name, rejected, seen},
  });
}
