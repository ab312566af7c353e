import {execFile} from 'node:child_process';
import {existsSync, readdirSync, readFileSync, realpathSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {promisify} from 'node:util';
import {PlatformError} from '../errors.ts';

/** An installed Java. */
export type Java = {
  command: string /** 17, 21, 25 */;
  major: number /** As it says itself, one line. */;
  version: string;
};

const run = promisify(execFile);
/** Where systems install Java: Debian and Fedora, Homebrew, macOS, SDKMAN. */
const parents = (env: NodeJS.ProcessEnv): string[] => [
  '/usr/lib/jvm',
  '/usr/java',
  '/opt/java',
  '/opt/homebrew/opt',
  '/Library/Java/JavaVirtualMachines',
  join(env.HOME ?? '/', '.sdkman/candidates/java'),
];

/** Every command that may be a Java, `JAVA_HOME` and `PATH` first. */
function candidates(env: NodeJS.ProcessEnv): string[] {
  const homes = parents(env).flatMap((parent) => {
    try {
      return readdirSync(parent).flatMap((name) => [join(parent, name), join(parent, name, 'Contents/Home')]);
    } catch {
      return [];
    }
  });
  const paths = [
    ...(env.JAVA_HOME ? [join(env.JAVA_HOME, 'bin/java')] : []),
    ...(env.PATH ?? '')
      .split(':')
      .filter(Boolean)
      .map((dir) => join(dir, 'java')),
    ...homes.map((home) => join(home, 'bin/java')),
  ];
  return [...new Set(paths.filter((path) => existsSync(path)).map((path) => realpathSync(path)))];
}

/** From the file `release` that a Java has beside its programs; without one it is asked, which starts it. */
async function describe(command: string): Promise<Java | undefined> {
  const release = join(dirname(dirname(command)), 'release');
  if (existsSync(release)) {
    const text = readFileSync(release, 'utf8');
    const number = /^JAVA_VERSION="((?:1\.)?(\d+)[^"]*)"/m.exec(text);
    const build = /^(?:IMPLEMENTOR_VERSION|JAVA_RUNTIME_VERSION)="([^"]*)"/m.exec(text)?.[1] ?? '';
    if (number) return {command, major: Number(number[2]), version: `${number[1]} ${build}`.trim()};
  }
  try {
    const {stderr} = await run(command, ['-version'], {timeout: 20_000});
    const major = /version "(?:1\.)?(\d+)/.exec(stderr)?.[1];
    return major === undefined
      ? undefined
      : {command, major: Number(major), version: stderr.split('\n').slice(0, 2).join(' ')};
  } catch {
    return undefined;
  }
}

const found = new Map<string, Promise<Java[]>>();

/**
 * The newest Java that is installed, `JAVA_HOME` first if it is new enough.
 * @throws SERVER_MISSING when none has version `least` or later
 */
export async function findJava(
  title: string,
  least: number,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Java> {
  const paths = candidates(env);
  const key = paths.join(':');
  if (!found.has(key))
    found.set(
      key,
      Promise.all(paths.map(describe)).then((all) => all.filter((each) => each !== undefined)),
    );
  const all = await found.get(key)!;
  const home =
    env.JAVA_HOME && existsSync(join(env.JAVA_HOME, 'bin/java'))
      ? realpathSync(join(env.JAVA_HOME, 'bin/java'))
      : undefined;
  const usable = all.filter(({major}) => major >= least);
  const newest = usable.find(({command}) => command === home) ?? usable.sort((a, b) => b.major - a.major)[0];
  if (newest) return newest;
  const has =
    all.length === 0 ? 'none is installed' : `only ${all.map(({major}) => major).join(', ')} is installed`;
  throw new PlatformError('SERVER_MISSING', `${title} needs Java ${least} or later; ${has}`, {
    hint: `install it: apt-get install openjdk-${least}-jre-headless (Debian, Ubuntu), brew install openjdk (macOS)`,
  });
}
