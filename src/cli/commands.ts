import type {CommandSpec} from './command.ts';
import {changeCommands} from './commands/change.ts';
import {dataCommands} from './commands/data.ts';
import {exportCommands} from './commands/export.ts';
import {inspectCommands} from './commands/inspect.ts';
import {lettersCommands} from './commands/letters.ts';
import {localCommands} from './commands/local.ts';
import {startCommands} from './commands/start.ts';

/** Every command, in the order of help. Bodies are one file a command, loaded when they run. */
export const commands: CommandSpec[] = [
  ...startCommands,
  ...dataCommands,
  ...inspectCommands,
  ...lettersCommands,
  ...changeCommands,
  ...exportCommands,
  ...localCommands,
];
