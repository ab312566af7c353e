import {env} from './env.ts';
import {file} from './file.ts';
import type {SecretBackendSpec} from './types.ts';

export {defineSecretBackend} from './types.ts';

/** The secret backends that Millrace brings; a plugin adds its own. */
export const secretBackends = {env, file} as const satisfies Record<string, SecretBackendSpec>;
