import type {Session} from './sessions-heap.ts';

/** The sessions in memory: by group in order of start, and the groups by stored piece. */
export class SessionLists {
  #byGroup = new Map<number, Session[]>();
  #buckets = new Map<number, Set<number>>();

  of(gid: number): readonly Session[] {
    return this.#byGroup.get(gid) ?? [];
  }

  add(session: Session): void {
    const {gid, bucket, startMs} = session;
    const list = this.#byGroup.get(gid);
    if (list) {
      const after = list.findIndex((other) => other.startMs > startMs);
      list.splice(after < 0 ? list.length : after, 0, session);
      return;
    }
    this.#byGroup.set(gid, [session]);
    const groups = this.#buckets.get(bucket);
    if (groups) groups.add(gid);
    else this.#buckets.set(bucket, new Set([gid]));
  }

  remove(session: Session): void {
    const {gid, bucket} = session;
    const list = this.#byGroup.get(gid) ?? [];
    const at = list.indexOf(session);
    if (at < 0) return;
    list.splice(at, 1);
    if (list.length > 0) return;
    this.#byGroup.delete(gid);
    const groups = this.#buckets.get(bucket)!;
    groups.delete(gid);
    if (groups.size === 0) this.#buckets.delete(bucket);
  }

  inBucket(bucket: number): Session[] {
    return [...(this.#buckets.get(bucket) ?? [])].flatMap((gid) => this.#byGroup.get(gid)!);
  }
}
