import type {Lane} from './lane.ts';

/** Time that is given to what waits: since something arrived, and in all. */
const silentMs = 5_000;
const longestMs = 20_000;
/** A lane with so many failures in a row is not waited for. */
const failuresMax = 3;
const lookMs = 2;

/** Resolves when nothing waits for Kafka, when nothing of it has arrived for a while, or when it takes too long. */
export async function drained(lanes: Iterable<Lane>): Promise<void> {
  const startMs = performance.now();
  let lastMs = startMs;
  let least = Number.POSITIVE_INFINITY;
  for (;;) {
    let bytes = 0;
    let waits = false;
    for (const lane of lanes) {
      bytes += lane.bytes;
      waits ||= !lane.isEmpty && lane.failures < failuresMax;
    }
    const nowMs = performance.now();
    if (bytes < least) {
      least = bytes;
      lastMs = nowMs;
    }
    if (!waits || nowMs - lastMs > silentMs || nowMs - startMs > longestMs) return;
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}

/** Resolves with whether nothing waits for Kafka any more within that time. */
export async function emptied(lanes: Iterable<Lane>, ms: number): Promise<boolean> {
  const untilMs = performance.now() + ms;
  for (;;) {
    if ([...lanes].every(({isEmpty}) => isEmpty)) return true;
    if (performance.now() > untilMs) return false;
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}
