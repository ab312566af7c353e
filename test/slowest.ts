/** A reporter: which files took how long. */
import {relative} from 'node:path';
import type {TestEvent} from 'node:test/reporters';

const shown = 25;

export default async function* slowest(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const files: {file: string; seconds: number}[] = [];
  for await (const {type, data} of events)
    if (type === 'test:summary' && data.file !== undefined)
      files.push({file: relative(process.cwd(), data.file), seconds: data.duration_ms / 1000});
  files.sort((a, b) => b.seconds - a.seconds);
  if (files.length < 2) return;
  yield `# seconds of the slowest of ${files.length} files\n`;
  for (const {file, seconds} of files.slice(0, shown)) yield `${seconds.toFixed(1).padStart(7)} ${file}\n`;
}
