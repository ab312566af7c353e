/** Waiting for what comes by itself. */
import assert from 'node:assert/strict';

/**
 * Resolves when `is` holds. @param what it waited for, said when it takes longer than `ms`: far longer than it takes on a machine that
 * has other things to do
 */
export async function until(
  is: () => boolean | undefined | Promise<boolean | undefined>,
  what: string | (() => string),
  ms = 90_000,
): Promise<void> {
  const untilMs = performance.now() + ms;
  while (!(await is())) {
    assert.ok(performance.now() < untilMs, `${typeof what === 'string' ? what : what()} within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
