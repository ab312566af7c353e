import type {CommandBody} from './command.ts';
import {listLetters, replaySelected, showLetter} from './letters.ts';

export const list: CommandBody = (call) => listLetters('dead', call);
export const show: CommandBody = (call) => showLetter('dead', call);
export const replay: CommandBody = (call) => replaySelected('dead', call);
