/**
 * Platforms of other names that append to the same topics. The lease is one of a platform's processes, by its client id, and does not
 * see them; the names of outboxes begin with that id and are in what they wrote.
 */
import {PlatformError} from '../../errors.ts';
import type {Parts} from './connect.ts';

/** The client id in the name of an outbox; undefined for names of before they had it. */
function ownerOf(outbox: string): string | undefined {
  const slash = outbox.lastIndexOf('/');
  return slash < 0 ? undefined : outbox.slice(0, slash);
}

/**
 * Collects the outboxes that wrote beside this one, and says of those of other platforms that they do.
 * @returns `saw` for each batch of another outbox; `tell` at the end of the look
 */
export function foreignersOf(parts: Parts) {
  const {topics, telemetry, outbox} = parts;
  const {settings} = parts.client;
  const events = new Set(topics.filter(({isLeased}) => isLeased).map(({name}) => name));
  const found = new Map<string, Set<string>>();
  const copies = new Map<string, Set<string>>();
  return {
    saw(topic: string, name: string): void {
      if (outbox.identity.isName(name)) copies.set(name, (copies.get(name) ?? new Set()).add(topic));
      const owner = ownerOf(name);
      if (owner === undefined || owner === settings.clientId || !events.has(topic)) return;
      found.set(owner, (found.get(owner) ?? new Set()).add(topic));
    },
    tell(): void {
      for (const [name, names] of copies) copied(parts, name, [...names].join(', '));
      for (const [owner, names] of found)
        telemetry.emit('Log', {
          level: 'error',
          message: `another platform, with log.kafka.client_id ${owner}, appends to ${[...names].join(', ')} as well: an event that is sent to both is there twice if that happens within a minute. Let one of them append, or give them topics of their own`,
        });
    },
  };
}

/**
 * Batches came meanwhile that name this outbox, or the one that it was made of, and are not its own: both are used. Where one process
 * at a time appends that is as with two machines: each reads what the other one brought. Else both would make the same letters.
 */
function copied({outbox: {identity}, isLeased, fail, telemetry}: Parts, name: string, topics: string): void {
  const original = identity.former.find((each) => each.name === name);
  const message = original
    ? `the outbox in ${identity.where} is a copy of the one in ${original.where}, which is still used: both write to ${topics}`
    : `the outbox in ${identity.where} has a copy, which is used as well: both write to ${topics}`;
  if (original && isLeased) return;
  const hint =
    'end one of the two processes, and give the other machine a directory of its own: an empty one';
  if (original) fail(new PlatformError('LOG_FENCED', message, {hint, place: identity.where}));
  telemetry.emit('Log', {level: 'error', message: `${message} (${hint})`});
}
