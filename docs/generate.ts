/** Writes the documents that are made from the source: `node docs/generate.ts`. A test compares each with its file. */
import {mkdirSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {expressionReference} from '../src/expr/reference.ts';
import {commandReference} from './generate/commands.ts';
import {configurationReference} from './generate/configuration.ts';
import {errorReference} from './generate/errors.ts';
import {metricReference} from './generate/metrics.ts';
import {terminalPicture} from './generate/terminal.ts';

/** Path in the repository -> its text. */
export const generated: {path: string; text: () => string}[] = [
  {path: 'docs/reference/commands.md', text: commandReference},
  {path: 'docs/reference/configuration.md', text: configurationReference},
  {path: 'docs/reference/errors.md', text: errorReference},
  {path: 'docs/reference/expressions.md', text: expressionReference},
  {path: 'docs/reference/metrics.md', text: metricReference},
  {path: 'docs/terminal.svg', text: terminalPicture},
];

if (import.meta.main) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  for (const {path, text} of generated) {
    mkdirSync(dirname(join(root, path)), {recursive: true});
    writeFileSync(join(root, path), text());
  }
}
