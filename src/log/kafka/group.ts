/** The requests of a member of a group (https://kafka.apache.org/protocol), as far as a lease needs them. */
import {apis} from './api.ts';
import type {KafkaClient} from './client.ts';
import {isMoved, kafkaError, nameOfCode} from './codes.ts';
import {WireWriter} from './wire.ts';

/** A protocol of our own: groups of consumers have another, and never mix with it. */
const protocolType = 'millrace-lease';
const memberRequired = 79;
const unknownMember = 25;
/** A broker answers the requests of one connection in turn, and a join may wait for the others. */
const lane = 'lease';

export type Membership = {group: string; member: string; generation: number};
export type GroupTimes = {sessionMs: number; rebalanceMs: number};

/**
 * Joins the group, and waits for the others to do so. @param known as it was called before, empty: new;
 * `orNew`: it becomes a new one if nobody knows it any more, else that is an error; `named` is told under which name it asks from
 * then on, empty: as a new one, and may throw to give up
 * @param told what the others, and whoever looks at the group, see of it
 * @returns whether it leads the group, and then who is in it. Throws KAFKA_*.
 */
export async function joinGroup(
  client: KafkaClient,
  group: string,
  known: {member: string; orNew?: boolean; named: (member: string) => void},
  told: string,
  {sessionMs, rebalanceMs}: GroupTimes,
): Promise<Membership & {isLeader: boolean; members: {member: string; told: string}[]}> {
  const coordinator = await client.coordinatorOf(group);
  for (let name = known.member; ; ) {
    const body = new WireWriter().string(group).int32(sessionMs).int32(rebalanceMs).string(name);
    body.string(null).string(protocolType);
    body.array([told], (text) => body.string('lease').bytesOf(Buffer.from(text)));
    const reader = await client.request({
      to: coordinator,
      api: apis.joinGroup,
      body: body.bytes,
      lane,
      timeoutMs: rebalanceMs + 5_000,
    });
    reader.int32();
    const code = reader.int16();
    const generation = reader.int32();
    reader.nullableString();
    const leader = reader.string();
    const own = reader.string();
    if (code === memberRequired) {
      known.named(own);
      name = own;
      continue;
    }
    if (code === unknownMember && known.orNew && name !== '' && name === known.member) {
      known.named('');
      name = '';
      continue;
    }
    if (code !== 0) throw failure(client, group, code, 'joining');
    const members = reader.array(() => {
      const each = reader.string();
      reader.nullableString();
      return {member: each, told: Buffer.from(reader.bytesOf()).toString()};
    });
    return {group, member: own, generation, isLeader: leader === own, members};
  }
}

/** The leader tells every member a text; the others, who name no members, wait for it. @returns the text. Throws KAFKA_*. */
export async function syncGroup(
  client: KafkaClient,
  {group, member, generation}: Membership,
  told: {members: readonly string[]; text: string},
  {rebalanceMs}: GroupTimes,
): Promise<string> {
  const coordinator = await client.coordinatorOf(group);
  const body = new WireWriter().string(group).int32(generation).string(member).string(null);
  body.array(told.members, (each) => body.string(each).bytesOf(Buffer.from(told.text)));
  const reader = await client.request({
    to: coordinator,
    api: apis.syncGroup,
    body: body.bytes,
    lane,
    timeoutMs: rebalanceMs + 5_000,
  });
  reader.int32();
  const code = reader.int16();
  if (code !== 0) throw failure(client, group, code, 'joining');
  return Buffer.from(reader.bytesOf()).toString();
}

/** @returns the name of the code; `NONE`: it is a member as before. Throws KAFKA_UNAVAILABLE, KAFKA_ACCESS. */
export async function heartbeat(
  client: KafkaClient,
  {group, member, generation}: Membership,
  timeoutMs: number,
): Promise<string> {
  const coordinator = await client.coordinatorOf(group);
  const body = new WireWriter().string(group).int32(generation).string(member).string(null).bytes;
  const reader = await client.request({
    to: coordinator,
    api: apis.heartbeat,
    body,
    lane: 'lease-beat',
    timeoutMs,
  });
  reader.int32();
  const code = reader.int16();
  if (isMoved(code)) throw failure(client, group, code, 'staying in');
  return code === 0 ? 'NONE' : nameOfCode(code);
}

/** The others need not wait until it is missed. Throws KAFKA_*. */
export async function leaveGroup(
  client: KafkaClient,
  {group, member}: Pick<Membership, 'group' | 'member'>,
): Promise<void> {
  const coordinator = await client.coordinatorOf(group);
  const body = new WireWriter().string(group);
  body.array([member], (each) => body.string(each).string(null));
  await client.request({
    to: coordinator,
    api: apis.leaveGroup,
    body: body.bytes,
    lane: 'lease-beat',
    timeoutMs: 2_000,
  });
}

function failure(client: KafkaClient, group: string, code: number, what: string) {
  if (isMoved(code)) client.forgetCoordinator(group);
  return kafkaError(code, `${what} group ${group}`);
}
