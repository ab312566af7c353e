/** What was set aside, as it is listed and shown. */
import {PlatformError} from '../errors.ts';
import type {LogReader} from '../log/types.ts';
import type {Platform} from '../model/types.ts';
import {openRegistry} from '../schema/registry-open.ts';
import type {RegisteredSchema} from '../schema/types.ts';
import {createLearner} from './learn-schemas.ts';
import {type Letter, type LetterSelection, readLetters} from './letters.ts';
import {LetterEvents} from './letters-events.ts';
import {refuseHidden} from './letters-hidden.ts';
import {letterHint} from './letters-hints.ts';
import {LetterHistory} from './letters-history.ts';
import {shownLetter} from './letters-shown.ts';
import {compileWhere} from './letters-where.ts';
import type {PlatformDirs} from './places.ts';
import {eventTypesOf} from './replay-types.ts';

/** A letter as commands with `--json` and HTTP show it; the original in base64. */
export const letterJson = ({original, timeMs, watermarkMs, replays, ...letter}: Letter) => ({
  id: letter.id,
  time: new Date(timeMs).toISOString(),
  domain: letter.domain,
  event_type: letter.eventType,
  stage: letter.stage,
  query: letter.query,
  code: letter.code,
  message: letter.message,
  hint: letterHint(letter),
  source: letter.source,
  position: letter.position,
  event_id: letter.eventId,
  schema_id: letter.schemaId,
  status: letter.status,
  ...(watermarkMs === null ? {} : {watermark: new Date(watermarkMs).toISOString()}),
  replays: replays.map(({timeMs: ms, ...replay}) => ({time: new Date(ms).toISOString(), ...replay})),
  original: Buffer.from(original).toString('base64'),
});

function onlyRegistry(error: unknown): void {
  if (!(error instanceof PlatformError)) throw error;
}

async function schemasOf(dirs: PlatformDirs): Promise<RegisteredSchema[]> {
  const registry = await openRegistry(dirs.registry, {readOnly: true});
  try {
    return await registry.own();
  } finally {
    registry.close();
  }
}

/** Everything that is selected, with how it stands, oldest first; none after `signal`: nobody wants more. @throws USAGE for its expression, LOG_CORRUPT, KAFKA_*, REGISTRY_* */
export async function* selectedLetters(
  platform: Platform,
  dirs: PlatformDirs,
  log: LogReader,
  selection: LetterSelection,
  signal?: AbortSignal,
): AsyncGenerator<Letter> {
  await refuseHidden(platform, dirs, log, selection);
  const needsSchemas = selection.where !== undefined || platform.pii !== undefined;
  const schemas = needsSchemas ? await schemasOf(dirs) : [];
  const learner = createLearner(dirs, schemas);
  const events = new LetterEvents(platform.domains, schemas, log);
  const where = compileWhere(selection.where, eventTypesOf(platform, selection), events);
  const history = new LetterHistory();
  try {
    for (const domain of selection.domains) await history.read(log, domain, signal);
    for await (const letter of readLetters(log, selection, history, signal)) {
      // Without its schema a letter is shown as far as that goes.
      if (needsSchemas) await learner.learn(letter.original).catch(onlyRegistry);
      if (!where || (await where(letter))) yield await shownLetter(letter, platform.domains, events);
    }
  } finally {
    history.close();
    learner.close();
  }
}
