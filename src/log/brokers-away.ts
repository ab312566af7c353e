/** Whoever waits for brokers that do not answer is told so while it goes on trying. */
import type {KafkaSettings} from './kafka/settings.ts';

/** Brokers that take longer for a first answer are told of, ms: those that run answer in a fraction of it. */
const quietMs = 2_500;
/** Said again after so long at the earliest, ms. */
const againMs = 60_000;

let listener: ((text: string) => void) | undefined;
let saidMs = -Infinity;

/** Who tells the user of this process; for its main thread. Undefined: nobody. */
export function tellBrokersAway(tell: ((text: string) => void) | undefined): void {
  listener = tell;
  saidMs = -Infinity;
}

/** Waits for work that needs the brokers, and says that they do not answer when it takes long. */
export async function sayingAway<T>({brokers}: KafkaSettings, work: Promise<T>): Promise<T> {
  const timer = setTimeout(() => {
    const nowMs = performance.now();
    if (nowMs - saidMs < againMs) return;
    saidMs = nowMs;
    listener?.(`Kafka does not answer yet at ${brokers.join(', ')} (log.kafka.brokers): it is tried further`);
  }, quietMs);
  timer.unref();
  try {
    return await work;
  } finally {
    clearTimeout(timer);
  }
}
