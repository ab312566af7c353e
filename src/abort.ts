/** Waiting for some work no longer than until a signal. */

/**
 * Settles as `work` does, or rejects with the signal's reason as soon as it is aborted. Nothing of a wait that is over stays with the
 * signal: a race with a promise that lives as long as the signal would keep a piece of memory for every turn of a loop.
 */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    const end = () => signal.removeEventListener('abort', abort);
    signal.addEventListener('abort', abort, {once: true});
    if (signal.aborted) abort();
    work.finally(end).then(resolve, reject);
  });
}
