/**
 * Platforms of other names that append to the same topics. The lease is one of a platform's processes, by its client id, and does not
 * see them; the names of outboxes begin with that id and are in what they wrote.
 */
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
export function foreignersOf({client: {settings}, topics, telemetry}: Parts) {
  const events = new Set(topics.filter(({isLeased}) => isLeased).map(({name}) => name));
  const found = new Map<string, Set<string>>();
  return {
    saw(topic: string, outbox: string): void {
      const owner = ownerOf(outbox);
      if (owner === undefined || owner === settings.clientId || !events.has(topic)) return;
      found.set(owner, (found.get(owner) ?? new Set()).add(topic));
    },
    tell(): void {
      for (const [owner, names] of found)
        telemetry.emit('Log', {
          level: 'error',
          message: `another platform, with log.kafka.client_id ${owner}, appends to ${[...names].join(', ')} as well: an event that is sent to both is there twice if that happens within a minute. Let one of them append, or give them topics of their own`,
        });
    },
  };
}
