import {parseEnv} from 'node:util';
import {readPlain} from '../../plain-file.ts';
import {defineSecretBackend} from './types.ts';

/** Secrets from a `.env` file, then from the environment's variables; each by its name, then by its name in capitals. */
export const env = defineSecretBackend({
  name: 'env',
  summary: 'Reads the .env file, then the environment: the name itself, then in capitals.',
  fields: {
    file: {
      type: 'dir',
      doc: 'File with lines NAME=value, relative to the root; it may be absent.',
      default: '.env',
    },
  },
  async open(options, context) {
    const fromFile = readEnvFile(options.file as string);
    const sources = [fromFile, context.env];
    return {
      async read(name) {
        for (const source of sources)
          for (const key of [name, name.toUpperCase()]) if (Object.hasOwn(source, key)) return source[key];
        return undefined;
      },
      hint: async (name) =>
        `write ${name.toUpperCase()}=... into ${options.file}, or set it in the environment; npx millrace up --write-env writes what the servers ask for that it starts`,
    };
  },
});

function readEnvFile(path: string): Record<string, string | undefined> {
  try {
    return parseEnv(readPlain(path)) as Record<string, string | undefined>;
  } catch (error) {
    const {code, message} = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return {};
    throw new Error(`${path}: ${message.split(',')[0]}`, {cause: error});
  }
}
