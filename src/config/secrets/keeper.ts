import type {SecretBackend, SecretBackendSpec, SecretContext} from './types.ts';

/**
 * Keeps the secret backend of a process open, so that its access is renewed while a platform runs and a configuration that is
 * applied later is read through it. One for a process; close it at the end.
 */
export class SecretKeeper {
  readonly #tell: (message: string) => void;
  #kept: {key: string; backend: SecretBackend} | undefined;

  /** @param tell told what a person has to know: that access cannot be renewed, say */
  constructor(tell: (message: string) => void) {
    this.#tell = tell;
  }

  /** The backend that is open already, if it is the same with the same options; else this one instead. @throws as `open` of the backend */
  async open(
    spec: SecretBackendSpec,
    options: Record<string, unknown>,
    context: Omit<SecretContext, 'keep'>,
  ): Promise<SecretBackend> {
    const key = JSON.stringify([spec.name, options, context.root]);
    if (this.#kept?.key === key) return this.#kept.backend;
    const backend = await spec.open(options, {...context, keep: {tell: this.#tell}});
    await this.close();
    this.#kept = {key, backend};
    return backend;
  }

  async close(): Promise<void> {
    const kept = this.#kept;
    this.#kept = undefined;
    await kept?.backend.close?.();
  }
}
