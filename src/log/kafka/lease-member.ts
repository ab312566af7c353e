/**
 * As which member of the lease's group the process of a directory is known, kept beside its outbox. A process that was killed is
 * missed by the group only after its session; the next one in its directory, which has the directory's lock, so that the one before is
 * gone for certain, goes on as that member at once.
 *
 * Only there: a copy of the directory is another place, where the one before may still run. So is a virtual machine that was cloned with its
 * host name and disk, which was started at another time; and after a start of the machine a session is over anyway.
 */
import {readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {placeOf} from '../outbox-identity.ts';

type Kept = {group: string; member: string; place: string};

export class LeaseMember {
  readonly #path: string;
  readonly #group: string;
  readonly #place: string;
  #noted = '';

  /** @param dir of the outbox, whose lock this process holds @param name of the file, where there are several leases */
  constructor(dir: string, group: string, name = 'lease') {
    this.#path = join(dir, `${name}.json`);
    this.#group = group;
    this.#place = `${placeOf(dir)} ${startOfMachine()}`;
  }

  /** The member that the process before was; empty: there was none, or it ended in order. */
  before(): string {
    try {
      const {group, member, place} = JSON.parse(readFileSync(this.#path, 'utf8')) as Kept;
      return group === this.#group && place === this.#place && typeof member === 'string' ? member : '';
    } catch {
      return '';
    }
  }

  /** This process is that member now. What cannot be kept costs the next one a session of waiting, nothing else. */
  note(member: string): void {
    if (member === this.#noted) return;
    this.#noted = member;
    const kept: Kept = {group: this.#group, member, place: this.#place};
    try {
      writeFileSync(`${this.#path}.new`, JSON.stringify(kept));
      renameSync(`${this.#path}.new`, this.#path);
    } catch {}
  }

  /** It left the group. */
  left(): void {
    this.#noted = '';
    try {
      rmSync(this.#path, {force: true});
    } catch {}
  }
}

/** Names this start of the machine; empty where the system does not tell. */
function startOfMachine(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}
