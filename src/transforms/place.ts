/** Where in the user's own files an error arose. */
import {basename} from 'node:path';
import {fileURLToPath} from 'node:url';

/** `geo.ts:12: TypeError: ...` when the stack names a place in `path` or beside it, else the message alone. */
export function describeError(error: unknown, path: string): string {
  if (!(error instanceof Error)) return `threw ${short(show(error))}`;
  const place = placeOf(String(error.stack ?? ''), path);
  const text = short(`${error.name}: ${error.message}`.split('\n')[0]!);
  return place === undefined ? text : `${place}: ${text}`;
}

/** First place of a stack or of a syntax error's head that is a file of the user's: `geo.ts:12`. */
function placeOf(stack: string, path: string): string | undefined {
  for (const [, file, line] of stack.matchAll(/(?:\(|at |^|\s)((?:file:\/\/)?\/[^\s():]+):(\d+)/gm)) {
    const name = file!.startsWith('file:') ? filePath(file!) : file!;
    if (name === path || (!name.includes('/node_modules/') && name.startsWith(directoryOf(path))))
      return `${basename(name)}:${line}`;
  }
  return undefined;
}

const directoryOf = (path: string): string => path.slice(0, path.lastIndexOf('/') + 1);

function filePath(url: string): string {
  try {
    return fileURLToPath(url);
  } catch {
    return url;
  }
}

function show(value: unknown): string {
  try {
    return typeof value === 'string' ? JSON.stringify(value) : String(value);
  } catch {
    return 'something that has no text';
  }
}

const short = (text: string): string => (text.length > 500 ? `${text.slice(0, 500)}...` : text);
