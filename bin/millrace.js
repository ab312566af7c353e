#!/usr/bin/env node
// Plain JavaScript that an old Node can run: it finds the pinned Node and hands over to src/cli/main.ts.
'use strict';
const {existsSync} = require('node:fs');
const {join} = require('node:path');
const {spawn} = require('node:child_process');

const root = join(__dirname, '..');
const main = join(root, 'src', 'cli', 'main.ts');
const packageDir = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
const candidates = [
  join(root, 'node_modules', packageDir, 'bin', process.platform === 'win32' ? 'node.exe' : 'node'),
  join(root, 'node_modules', '.bin', 'node'),
];
const major = Number(process.versions.node.split('.')[0]);
const pinned = candidates.find((path) => existsSync(path));

if (!pinned && major < 26) {
  process.stderr.write(
    `millrace needs Node 26 (this is ${process.version}) and its pinned copy is not installed.\n` +
      `hint: run "npm ci" in ${root}\n`,
  );
  process.exit(4);
}
const argv = ['--disable-warning=ExperimentalWarning', main, ...process.argv.slice(2)];
const child = spawn(pinned || process.execPath, argv, {stdio: 'inherit'});
// A terminal sends Ctrl-C to the whole group as well; the platform counts signals that arrive together as one.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('error', (error) => {
  process.stderr.write(`millrace: cannot start ${pinned || process.execPath}: ${error.message}\n`);
  process.exit(4);
});
child.on('exit', (code, signal) => {
  if (signal) process.exit(128 + (require('node:os').constants.signals[signal] || 0));
  else process.exit(code === null ? 1 : code);
});
