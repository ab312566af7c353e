import type {OptionSpec} from '../command.ts';

/** Of every command that changes something. */
export const dryRun: OptionSpec = {flags: '--dry-run', doc: 'say what would happen, change nothing'};
