/** Another language's Avro: the Python that `.ci/run` sets up with fastavro. */
import {existsSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const python = join(root, '.cache', 'venv', 'bin', 'python');

/** Reason to skip; in CI its absence is a failure of the test instead. */
export const pythonSkip: string | false =
  existsSync(python) || process.env.CI === 'true'
    ? false
    : 'needs fastavro in .cache/venv: .ci/run installs it';
