import type {FieldSpec} from '../fields.ts';

/** An open secret backend. `read` answers undefined for a secret that does not exist, and throws when it cannot tell. */
export type SecretBackend = {
  read(name: string): Promise<string | undefined>;
  close?(): Promise<void>;
};

export type SecretContext = {
  /** Directory that holds `config/`. */
  root: string;
  /** The environment's variables. */
  env: Record<string, string | undefined>;
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
