import {spawn} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {stripVTControlCharacters} from 'node:util';
import {PlatformError} from '../errors.ts';
import type {Progress} from './cache.ts';

/** What Maven fetches: `group:artifact:version[:type[:classifier]]`. */
export type Artifact = string;

/** The version that is asked for by name, so that it does not depend on which Maven is installed. */
const plugin = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1';

/**
 * Copies artifacts and what they need into a directory, with the Maven that is installed and the registries
 * that it is configured for.
 * @param files names of what is expected, to tell how far it is
 * @throws SERVER_MISSING without Maven, SERVER_FETCH when it fails
 */
export async function fetchWithMaven(
  title: string,
  artifacts: Artifact[],
  dir: string,
  progress: Progress,
  files: string[],
): Promise<void> {
  const project = mkdtempSync(join(tmpdir(), 'millrace-maven-'));
  try {
    writeFileSync(join(project, 'pom.xml'), pomOf(artifacts));
    const pom = join(project, 'pom.xml');
    const goal = `${plugin}:copy-dependencies`;
    await runMaven(title, ['-B', '-f', pom, goal, `-DoutputDirectory=${dir}`], progress, files);
  } finally {
    rmSync(project, {recursive: true, force: true});
  }
}

/** Copies one artifact without what it needs. Throws as `fetchWithMaven`. */
export async function fetchAloneWithMaven(
  title: string,
  artifact: Artifact,
  dir: string,
  progress: Progress,
): Promise<void> {
  const options = [`-Dartifact=${artifact}`, `-DoutputDirectory=${dir}`];
  await runMaven(title, ['-B', `${plugin}:copy`, ...options], progress, []);
}

function pomOf(artifacts: Artifact[]): string {
  const dependencies = artifacts.map((each) => {
    const [group, artifact, version] = each.split(':');
    return `    <dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;
  });
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millrace</groupId><artifactId>local-server</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
${dependencies.join('\n')}
  </dependencies>
</project>
`;
}

function runMaven(title: string, args: string[], progress: Progress, files: string[]): Promise<void> {
  progress(`fetching ${title} with Maven`);
  const child = spawn('mvn', args, {stdio: ['ignore', 'pipe', 'ignore']});
  const errors: string[] = [];
  let fetched = 0;
  createInterface({input: child.stdout}).on('line', (line) => {
    // "Downloaded from central: https://.../x.jar (12 kB at 3 kB/s)"; the plugin's own files are not ours.
    const name = /Downloaded from \S+ \S*\/(\S+) \(/.exec(line)?.[1];
    if (name !== undefined && files.includes(name))
      progress(`fetching ${title} with Maven: ${++fetched} of ${files.length} files`);
    if (line.startsWith('[ERROR]')) errors.push(stripVTControlCharacters(line.slice('[ERROR] '.length)));
  });
  return new Promise((resolve, reject) => {
    child.once('error', (cause) =>
      reject(
        new PlatformError('SERVER_MISSING', `${title} is fetched with Maven, and there is no mvn here`, {
          hint: 'install it: apt-get install maven (Debian, Ubuntu), brew install maven (macOS)',
          cause,
        }),
      ),
    );
    child.once('close', (code) => {
      if (code === 0) return resolve();
      reject(
        new PlatformError(
          'SERVER_FETCH',
          `Maven could not fetch ${title}: ${errors[0] ?? `exit code ${code}`}`,
          {
            hint: 'look at the network and at the registries in settings.xml, then try again',
          },
        ),
      );
    });
  });
}
