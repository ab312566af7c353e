/** Replays of everything that a run of the world sets aside, killed on their way. */
import {type Ended, type Fault, runUntilIdle, showFault, start} from './process.ts';

/** A kill in one of the replays, by its number, and one in the run after them. */
export type ReplayFaults = [inReplay: Fault, replay: number, inRun: Fault];

const replays: string[][] = [
  ['dlq', 'replay', 'shop', '--code', 'TYPE', '--set', 'amount=1.00'],
  ['dlq', 'replay', 'shop', '--code', 'CHECK', '--set', 'quantity=abs(quantity)'],
  ['dlq', 'replay', 'shop', '--stage', 'expression', '--set', "note='7'"],
  ['late', 'replay', 'shop', '--all'],
];
const millrace = (root: string, args: string[], fault?: Fault): Promise<Ended> =>
  start(root, args, fault).ended;

/**
 * Replays all that was set aside, and runs to the end.
 * @param chain kills on the way; what was killed is done again. @returns what went wrong
 */
export async function runReplays(dir: string, chain?: ReplayFaults): Promise<string[]> {
  const problems: string[] = [];
  for (const [index, args] of replays.entries()) {
    if (chain?.[1] === index) {
      const {killed, stderr} = await millrace(dir, args, chain[0]);
      if (!killed) problems.push(`${showFault(chain[0])} was not reached: ${stderr}`);
    }
    const {code, stderr} = await millrace(dir, args);
    // 1: some were refused again.
    if (code !== 0 && code !== 1) problems.push(`${args.join(' ')} ended with ${code}: ${stderr}`);
  }
  if (chain) {
    const {killed, stderr} = await runUntilIdle(dir, chain[2]);
    if (!killed) problems.push(`${showFault(chain[2])} was not reached: ${stderr}`);
  }
  const {code, stderr} = await runUntilIdle(dir);
  if (code !== 0) problems.push(`exit code ${code}: ${stderr}`);
  return problems;
}
