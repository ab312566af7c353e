import type {Groups} from './state-groups.ts';
import type {Delta} from './types.ts';

/** What the group ids of the workers' kernels are in a query's state. */
export class KernelGroups {
  #groups: Groups;
  #hasDimensions: boolean;
  /** Worker -> its kernel's generation of group ids and what they are here. */
  #kernels = new Map<number, {generation: number; gidOf: Int32Array; count: number}>();

  constructor(groups: Groups, hasDimensions: boolean) {
    this.#groups = groups;
    this.#hasDimensions = hasDimensions;
  }

  /** Releases what a kernel's generation holds: its ids mean nothing any more. */
  forget(worker: number): void {
    const kernel = this.#kernels.get(worker);
    this.#kernels.delete(worker);
    for (let group = 0; group < (kernel?.count ?? 0); group++) this.#groups.forget(kernel!.gidOf[group]!);
  }

  /** Makes the new groups of a delta known. @returns the kernel's group id -> ours */
  map({worker, generation, firstGroup, newGroups}: Delta): Int32Array {
    let kernel = this.#kernels.get(worker);
    if (!kernel || kernel.generation !== generation) {
      this.forget(worker);
      kernel = {generation, gidOf: new Int32Array(64), count: 0};
      this.#kernels.set(worker, kernel);
    }
    const added = newGroups[0]?.length ?? (!this.#hasDimensions && kernel.count === 0 ? 1 : 0);
    const count = firstGroup + added;
    if (count > kernel.gidOf.length) {
      const larger = new Int32Array(Math.max(count, kernel.gidOf.length * 2));
      larger.set(kernel.gidOf);
      kernel.gidOf = larger;
    }
    for (let group = 0; group < added; group++)
      kernel.gidOf[firstGroup + group] = this.#groups.intern((dimension) => newGroups[dimension]![group]!);
    kernel.count = Math.max(kernel.count, count);
    return kernel.gidOf;
  }

  get bytes(): number {
    let bytes = 0;
    for (const {gidOf} of this.#kernels.values()) bytes += gidOf.byteLength;
    return bytes;
  }
}
