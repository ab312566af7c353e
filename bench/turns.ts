/** Ways to do one thing, each in its turn, round after round: what else the machine does meets all of them. */
import {cpus, loadavg} from 'node:os';

/** What a figure is of. */
export const roundsAndLoad = (rounds: number): string =>
  `${rounds} rounds, ${cpus().length} cores, load ${loadavg()[0]!.toFixed(1)}`;

/** Medians of the ways, CPU nanoseconds for each of `units`, as `12.3 against 14.5`. */
export function cpuInTurns(
  ways: (() => unknown)[],
  {rounds, units}: {rounds: number; units: number},
): string {
  const found = ways.map((): number[] => []);
  for (let round = 0; round < rounds; round++)
    for (const [index, way] of ways.entries()) {
      const before = process.cpuUsage();
      way();
      const {user, system} = process.cpuUsage(before);
      found[index]!.push(((user + system) * 1000) / units);
    }
  return found.map((each) => each.toSorted((a, b) => a - b)[each.length >> 1]!.toFixed(1)).join(' against ');
}
