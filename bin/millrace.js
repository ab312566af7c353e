#!/usr/bin/env node
// Plain JavaScript that an old Node can run: it finds the right Node and hands over to src/cli/main.ts.
'use strict';
const {existsSync} = require('node:fs');
const {join} = require('node:path');

const nodeMajor = 26;
const root = join(__dirname, '..');
const main = join(root, 'src', 'cli', 'main.ts');
// Compiled code is kept between runs: without it each start strips and compiles all of the TypeScript again.
const compileCache = process.env.NODE_COMPILE_CACHE || join(root, 'node_modules', '.cache', 'millrace');

const major = Number(process.versions.node.split('.')[0]);
const pinned = [
  join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node'),
  join(root, 'node_modules', `node-win-${process.arch}`, 'bin', 'node.exe'),
  join(root, 'node_modules', '.bin', 'node'),
].find((path) => existsSync(path));

if (major === nodeMajor || (major > nodeMajor && !pinned)) runHere();
else if (pinned) handOver(pinned);
else {
  process.stderr.write(
    `millrace needs Node ${nodeMajor} (this is ${process.version}) and its pinned copy is not installed.\n` +
      `hint: run "npm ci" in ${root}\n`,
  );
  process.exitCode = 4;
}

/** What allocates memory reads its settings at the start of a process. */
function memorySettings() {
  // Each thread of glibc's would have an arena of its own, of which little is given back: 0.2 GB of a platform.
  return process.platform === 'linux' && !process.env.MALLOC_ARENA_MAX ? {MALLOC_ARENA_MAX: '2'} : {};
}

/** This Node will do: a second process would only cost. */
function runHere() {
  const settings = memorySettings();
  // Commands that live long begin again in their own place; for the others that would take longer than they do.
  if (settings.MALLOC_ARENA_MAX && /^(run|dev)$/.test(process.argv[2] || '') && process.execve) {
    const args = [process.execPath].concat(process.execArgv, __filename, process.argv.slice(2));
    process.execve(process.execPath, args, Object.assign({}, process.env, settings));
  }
  require('node:module').enableCompileCache(compileCache);
  import(require('node:url').pathToFileURL(main).href).then((module) => module.start());
}

function handOver(node) {
  const {spawn} = require('node:child_process');
  const env = Object.assign({}, process.env, memorySettings(), {
    NODE_COMPILE_CACHE: compileCache,
    MILLRACE_LAUNCHER: String(process.pid),
  });
  // Nothing is said over the channel: it ends with this process, however that ends, and the platform drains then.
  const stdio = ['inherit', 'inherit', 'inherit', 'ipc'];
  const child = spawn(node, [main].concat(process.argv.slice(2)), {stdio, env});
  // A terminal sends Ctrl-C to the whole group as well; the platform counts signals that arrive together as one.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`millrace: cannot start ${node}: ${error.message}\n`);
    process.exit(4);
  });
  child.on('exit', (code, signal) => {
    if (signal) process.exit(128 + (require('node:os').constants.signals[signal] || 0));
    else process.exit(code === null ? 1 : code);
  });
}
