import {inspect} from 'node:util';
import {hideSecret} from '../../errors.ts';

const shown = '***';

/** A text that is never printed: JSON, templates, `inspect` and errors show `***`. Structured cloning loses the text. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
    hideSecret(text);
  }

  /** The text itself; only where it is used. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return shown;
  }

  toJSON(): string {
    return shown;
  }

  [Symbol.toPrimitive](): string {
    return shown;
  }

  [inspect.custom](): string {
    return shown;
  }
}

/** A copy in which every Secret is its text: for opening a connection, possibly in another thread. Never print it. */
export function revealSecrets<T>(value: T): T {
  if (value instanceof Secret) return value.reveal() as T;
  if (Array.isArray(value)) return value.map((item) => revealSecrets(item)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, revealSecrets(item)])) as T;
}
