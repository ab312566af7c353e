import {execFile} from 'node:child_process';

/** How often it is looked, ms. */
const lookMs = 5_000;

/**
 * Ends what a test runner started and what runs for longer than `msMax`: a file that hangs then fails by its name, whatever it hangs
 * in. Its servers are ended by their own watchdog. Without `ps` nothing is ended.
 * @returns what ends the watch
 */
export function endFilesThatHang(runner: number, msMax: number, everyMs = lookMs): () => void {
  const since = new Map<number, number>();
  const look = () =>
    execFile('ps', ['-A', '-ww', '-o', 'pid=,ppid=,args='], {maxBuffer: 16 * 2 ** 20}, (error, text) => {
      if (error) return;
      const now = performance.now();
      const running = childrenOf(runner, text);
      for (const pid of since.keys()) if (!running.has(pid)) since.delete(pid);
      for (const [pid, args] of running) {
        const startedMs = since.get(pid) ?? now;
        since.set(pid, startedMs);
        if (now - startedMs <= msMax) continue;
        // Once: it may need a moment.
        since.set(pid, Infinity);
        process.stderr.write(`# hangs, and is ended after ${msMax / 1000} s: ${args.split(' ').at(-1)}\n`);
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It ended by itself just now.
        }
      }
    });
  const timer = setInterval(look, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** Processes of one parent, by their id, as `ps` lists them: id, parent, command line. */
function childrenOf(parent: number, text: string): Map<number, string> {
  const children = new Map<number, string>();
  for (const line of text.split('\n')) {
    const [, pid, ppid, args] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
    if (Number(ppid) === parent) children.set(Number(pid), args!);
  }
  return children;
}
