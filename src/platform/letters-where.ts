import {PlatformError} from '../errors.ts';
import {checkExpr} from '../expr/check.ts';
import {evaluate} from '../expr/evaluate.ts';
import {ExpressionFailure} from '../expr/failure.ts';
import {parseExpr} from '../expr/parse.ts';
import type {Expr, ExprProblem, ExprScope, TypedExpr, Value, ValueType} from '../expr/types.ts';
import type {EventType} from '../model/types.ts';
import type {Letter} from './letters.ts';
import type {LetterEvent, LetterEvents} from './letters-events.ts';

/** What a letter is, in an expression; names are those of its JSON. */
const letterColumns: Record<string, {type: ValueType; of(letter: Letter): Value}> = {
  id: {type: 'string', of: ({id}) => id},
  time: {type: 'timestamp', of: ({timeMs}) => timeMs},
  domain: {type: 'string', of: ({domain}) => domain},
  event_type: {type: 'string', of: ({eventType}) => eventType},
  stage: {type: 'string', of: ({stage}) => stage},
  query: {type: 'string', of: ({query}) => query},
  code: {type: 'string', of: ({code}) => code},
  message: {type: 'string', of: ({message}) => message},
  source: {type: 'string', of: ({source}) => source},
  status: {type: 'string', of: ({status}) => status},
  event_id: {type: 'string', of: ({eventId}) => eventId},
  watermark: {type: 'timestamp', of: ({watermarkMs}) => watermarkMs},
  file: {type: 'string', of: ({position}) => ('file' in position ? position.file : null)},
  row: {type: 'long', of: ({position}) => ('file' in position ? position.row : null)},
  topic: {type: 'string', of: ({position}) => ('topic' in position ? position.topic : null)},
  partition: {type: 'long', of: ({position}) => ('topic' in position ? position.partition : null)},
  offset: {type: 'long', of: ({position}) => ('topic' in position ? position.offset : null)},
  request: {type: 'string', of: ({position}) => ('request' in position ? position.request : null)},
  original: {type: 'string', of: ({original}) => Buffer.from(original).toString('utf8')},
};

/** Fields by name, as `"event.<name>"` where a letter has a column of that name, and as they were sent: `"text.<name>"`. */
export function eventScope(eventType: EventType, taken: ReadonlySet<string> = new Set()): ExprScope {
  const scope = new Map<string, {type: ValueType; symbols?: readonly string[]}>();
  for (const {name, type, symbols} of eventType.fields) {
    const column = symbols ? {type, symbols} : {type};
    if (!taken.has(name)) scope.set(name, column);
    scope.set(`event.${name}`, column);
    scope.set(`text.${name}`, {type: 'string'});
  }
  return scope;
}

/** The value of a name of `eventScope`. */
export function eventValue(event: LetterEvent | undefined, name: string): Value {
  if (name.startsWith('text.')) return event?.texts.get(name.slice(5)) ?? null;
  return event?.values.get(name.startsWith('event.') ? name.slice(6) : name) ?? null;
}

/** The first of the user's mistakes in an expression of the command line, with its place, in one line. @throws USAGE */
export function refuseExpression(option: string, text: string, [first]: ExprProblem[]): never {
  const {message, offset, length, hint} = first!;
  const marked = text.slice(offset, offset + Math.max(1, length));
  const character = [...text.slice(0, offset)].length + 1;
  const place = marked.trim() === '' ? 'at its end' : `at "${marked}", character ${character}`;
  throw new PlatformError('USAGE', `${option}: ${message} (${place})`, hint ? {hint} : {});
}

export function parseOption(option: string, text: string): Expr {
  const parsed = parseExpr(text);
  return parsed.ok ? parsed.expr : refuseExpression(option, text, parsed.problems);
}

/**
 * Compiles a condition over letters and their events. It is checked against every event type in question, and never true for
 * those that lack a column of it. @returns undefined without a text. @throws USAGE when it is right for no event type
 */
export function compileWhere(
  text: string | undefined,
  eventTypes: EventType[],
  events: LetterEvents,
): ((letter: Letter) => Promise<boolean>) | undefined {
  if (text === undefined) return undefined;
  const expr = parseOption('--where', text);
  const own = new Map(Object.entries(letterColumns).map(([name, {type}]) => [name, {type}]));
  const taken = new Set(own.keys());
  const typed = new Map<string | null, TypedExpr>();
  let problems: ExprProblem[] = [];
  for (const eventType of [...eventTypes, undefined]) {
    const scope = new Map([...own, ...(eventType ? eventScope(eventType, taken) : [])]);
    const checked = checkExpr(expr, scope, 'boolean');
    if (checked.ok) typed.set(eventType?.topic ?? null, checked.typed);
    else if (eventType || problems.length === 0) problems = checked.problems;
  }
  if (typed.size === 0) refuseExpression('--where', text, problems);
  return async (letter) => {
    const type = events.typeOf(letter);
    const condition = typed.get(type?.topic ?? null);
    if (!condition) return false;
    const event = type && (await events.eventOf(letter));
    const get = (name: string) => letterColumns[name]?.of(letter) ?? eventValue(event, name);
    try {
      return evaluate(condition, get) === true;
    } catch (error) {
      // No value is no yes.
      if (error instanceof ExpressionFailure) return false;
      throw error;
    }
  };
}
