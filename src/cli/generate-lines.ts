/** `generate --out`: events as lines of JSON, without a platform. */
import {once} from 'node:events';
import {createWriteStream} from 'node:fs';
import {resolve} from 'node:path';
import {finished} from 'node:stream/promises';
import {parseFaults} from '../generate/faults.ts';
import {Generator} from '../generate/generator.ts';
import {lineOf, textMax} from '../generate/jsonl.ts';
import type {Domain, Platform} from '../model/types.ts';
import {askOf} from '../platform/ask.ts';
import {type GenerateRequest, generateOf, lookupRows, plainStartMs} from '../platform/generate.ts';
import {createLookupStore} from '../platform/lookups.ts';
import {dirsOf} from '../platform/places.ts';
import type {CommandIo} from './command.ts';

/** Events without any limit. */
const countPlain = 1000;

/** @param out a path, or `-` for stdout. @returns lines written. @throws LOOKUP_INVALID, USAGE */
export async function writeLines(
  platform: Platform,
  domain: Domain,
  {
    request,
    faults,
    out,
    io,
  }: {request: GenerateRequest; faults: string | undefined; out: string; io: CommandIo},
): Promise<number> {
  const section = generateOf(domain, request);
  const generate = {
    ...section,
    faults: faults === undefined ? section.faults : parseFaults(faults, section.faults, section.faults),
  };
  const lookups = await lookupRows(
    domain,
    generate,
    createLookupStore(`${dirsOf(platform).state}/lookups`, askOf(platform, undefined)),
  );
  const rows = new Map(lookups.map((each) => [each.name, each]));
  const originMs = generate.startMs ?? request.startMs ?? plainStartMs;
  const generator = new Generator(
    {domain, generate, lookups: rows, schemaIds: {}, partitions: 1, run: 0},
    {originMs},
  );
  const unlimited = request.forMs === undefined ? countPlain : Number.POSITIVE_INFINITY;
  const endN = Math.min(request.count ?? unlimited, request.untilN ?? Number.POSITIVE_INFINITY);
  const endMs = request.forMs === undefined ? Number.POSITIVE_INFINITY : originMs + request.forMs;
  const stream = out === '-' ? io.stdout : createWriteStream(resolve(io.cwd, out));
  let lines = 0;
  let text = '';
  while (generator.n < endN && generator.nextMs < endMs) {
    generator.next();
    text += lineOf(generator);
    lines += generator.duplicate ? 2 : 1;
    if (text.length < textMax) continue;
    if (!stream.write(text)) await once(stream, 'drain');
    text = '';
  }
  if (out === '-') stream.write(text);
  else {
    stream.end(text);
    await finished(stream as NodeJS.WritableStream);
  }
  return lines;
}
