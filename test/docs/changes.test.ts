/** The commands of docs/changes.md, in their order, with the edit that the page shows. */
import assert from 'node:assert/strict';
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {cli, filePlatform, makeRoot, writeFiles} from '../support/cli.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/changes.md'), 'utf8');

/** Code blocks of the page, in order. */
const blocks = [...page.matchAll(/```(sh|diff|console)\n([\s\S]*?)```/g)].map(([, kind, text]) => ({
  kind: kind!,
  text: text!,
}));

/** A diff without line numbers, applied to a text that holds its lines. */
function patched(text: string, diff: string): string {
  const lines = diff.split('\n').filter(Boolean);
  const side = (sign: string) =>
    `${lines
      .filter((line) => line[0] === sign || line[0] === ' ')
      .map((line) => line.slice(1))
      .join('\n')}\n`;
  assert.ok(text.includes(side('-')), `the page's lines stand in the file: ${side('-')}`);
  return text.replace(side('-'), side('+'));
}

test('the commands of the page do what it says', async () => {
  const root = makeRoot();
  const domain = join(root, 'config/domains/shop.yaml');
  let shown = '';
  for (const {kind, text} of blocks) {
    if (kind === 'diff') writeFileSync(domain, patched(readFileSync(domain, 'utf8'), text));
    else if (kind === 'console') {
      const plain = (lines: string) =>
        lines
          .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\dZ|[\d,]+ events\/s|\.yaml:\d+|in (rows|analytics)/g, '')
          .replaceAll(/\S*millrace\.js|node |npx millrace/g, '')
          .trim();
      assert.equal(plain(shown), plain(text));
    } else
      for (const line of text.trim().split('\n')) {
        const [, command = '', says = ''] = /^npx millrace ([^#]*?)\s*(?:#(.*))?$/.exec(line) ?? [];
        const {code, stdout, stderr} = await cli(
          root,
          ...command.split(' '),
          ...(command.startsWith('run ') ? ['--port', '0'] : []),
        );
        assert.equal(code, /exits with 3/.test(says) ? 3 : 0, `${command}: ${stdout}${stderr}`);
        shown = stdout;
        if (/no changes/.test(says)) assert.match(stdout, /^no changes/);
        // The databases that `init` chooses are tried elsewhere; files are faster.
        if (command === 'init') writeFiles(root, {'config/platform.yaml': filePlatform});
      }
  }
});
