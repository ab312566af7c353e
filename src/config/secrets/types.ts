import type {FieldSpec} from '../fields.ts';

/** An open secret backend. `read` answers undefined for a secret that does not exist, and throws when it cannot tell. */
export type SecretBackend = {
  read(name: string): Promise<string | undefined>;
  /** Where a secret was looked for that does not exist, and which names are there; never a value. */
  hint?(name: string): Promise<string | undefined>;
  close?(): Promise<void>;
};

export type SecretContext = {
  /** Directory that holds `config/`. */
  root: string;
  /** The environment's variables. */
  env: Record<string, string | undefined>;
  /**
   * There when the backend stays open while a platform runs: it keeps its access alive until `close`, and says here what a
   * person has to know. Absent: it is closed as soon as the secrets are read.
   */
  keep?: {tell(message: string): void};
};

export type SecretBackendSpec = {
  name: string;
  summary: string;
  /** Options, which stand under `secrets.<name>`. */
  fields: Record<string, FieldSpec>;
  open(options: Record<string, unknown>, context: SecretContext): Promise<SecretBackend>;
};

/** Identity function that types a specification; see `docs/extending.md`. */
export const defineSecretBackend = (spec: SecretBackendSpec): SecretBackendSpec => spec;
