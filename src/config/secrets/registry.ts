import {env} from './env.ts';
import {file} from './file.ts';
import type {SecretBackendSpec} from './types.ts';
import {vault} from './vault.ts';

export {defineSecretBackend} from './types.ts';

/** The secret backends that Millrace brings; a plugin adds its own. */
export const secretBackends = {env, file, vault} as const satisfies Record<string, SecretBackendSpec>;
