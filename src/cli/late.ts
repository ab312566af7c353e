import type {CommandBody} from './command.ts';
import {listLetters, replaySelected, showLetter} from './letters.ts';

export const list: CommandBody = (call) => listLetters('late', call);
export const show: CommandBody = (call) => showLetter('late', call);
export const replay: CommandBody = (call) => replaySelected('late', call);
