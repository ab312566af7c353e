/**
 * Places where a test kills the process, as a power cut would: `MILLRACE_FAILPOINT=<name>:<n>` kills at the n-th time the
 * place is passed. `<name>:<n>:stop` stops it there instead (SIGSTOP), until somebody lets it go on: a machine that slept.
 * Without the variable a failpoint is one comparison.
 */
const wanted = process.env.MILLRACE_FAILPOINT;
const [wantedName, wantedCount, wantedEnd] = wanted === undefined ? [] : wanted.split(':');
let left = Number(wantedCount ?? 1);

/** Names the place that is passed, e.g. "checkpoint.before-commit". */
export function failpoint(name: string): void {
  if (wantedName === undefined || name !== wantedName) return;
  if (--left !== 0) return;
  const waiting = new Int32Array(new SharedArrayBuffer(4));
  if (wantedEnd === 'stop') {
    process.kill(process.pid, 'SIGSTOP');
    // The signal may take a moment.
    Atomics.wait(waiting, 0, 0, 20);
    return;
  }
  process.kill(process.pid, 'SIGKILL');
  // The signal may take a moment; nothing after this place may happen.
  Atomics.wait(waiting, 0, 0);
}
