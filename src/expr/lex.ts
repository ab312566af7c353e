import type {ExprProblem} from './types.ts';

/**
 * token      = number | string | name | quoted | symbol
 * number     = digits [ "." digits ] [ ("e"|"E") ["+"|"-"] digits ] | "." digits ...
 * string     = "'" { any but "'" | "''" } "'"
 * name       = letter { letter | digit | "_" }          quoted = '"' name '"'
 * symbol     = one of the list below, the longest first
 * comment    = "--" to the end of the line
 */
export type Token = {
  kind: 'integer' | 'decimal' | 'string' | 'name' | 'quoted' | 'symbol' | 'end';
  /** Digits, unescaped content, name as written, or the symbol. */
  text: string;
  offset: number;
  length: number;
};

const symbols = ['||', '<>', '!=', '<=', '>=', '=', '<', '>', '+', '-', '*', '/', '%', '(', ')', ','];
const space = /[\s\uFEFF]+|--[^\n]*/y;
const number = /(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?/y;
const word = /[\p{L}_][\p{L}\p{N}_]*/uy;

/** Splits an expression's text into tokens; the last is `end`. */
export function lex(text: string): {ok: true; tokens: Token[]} | {ok: false; problem: ExprProblem} {
  const tokens: Token[] = [];
  let at = 0;
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };
  while (at < text.length) {
    const skipped = match(space);
    if (skipped !== undefined) {
      at += skipped.length;
      continue;
    }
    const char = text[at]!;
    if (char === "'" || char === '"') {
      const quoted = readQuoted(text, at, char);
      if (quoted === undefined) return fail(at, text.length - at, `this ${char} is never closed`);
      tokens.push({
        kind: char === "'" ? 'string' : 'quoted',
        text: quoted.text,
        offset: at,
        length: quoted.length,
      });
      at += quoted.length;
      continue;
    }
    if (text.startsWith('==', at)) return fail(at, 2, 'unexpected "=="', 'one = compares');
    const digits = match(number);
    if (digits !== undefined) {
      tokens.push({
        kind: /^\d+$/.test(digits) ? 'integer' : 'decimal',
        text: digits,
        offset: at,
        length: digits.length,
      });
      at += digits.length;
      continue;
    }
    const name = match(word);
    const symbol = name ?? symbols.find((candidate) => text.startsWith(candidate, at));
    if (symbol === undefined) return unexpected(text, at);
    tokens.push({
      kind: name === undefined ? 'symbol' : 'name',
      text: symbol,
      offset: at,
      length: symbol.length,
    });
    at += symbol.length;
  }
  tokens.push({kind: 'end', text: '', offset: text.length, length: 0});
  return {ok: true, tokens};
}

function readQuoted(text: string, at: number, quote: string): {text: string; length: number} | undefined {
  let content = '';
  for (let end = at + 1; end < text.length; end++) {
    if (text[end] !== quote) content += text[end];
    else if (text[end + 1] === quote) {
      content += quote;
      end++;
    } else return {text: content, length: end + 1 - at};
  }
  return undefined;
}

const hints: Record<string, string> = {
  '&': 'write "and"',
  '|': 'write "or", or "||" to join strings',
  '!': 'write "not", or "<>"',
  ';': 'an expression has no end mark',
  '`': "strings stand in 'single quotes', names need no quotes",
  '?': 'write "case when ... then ... else ... end" or if(condition, then, else)',
  '^': 'there is no power operator',
};

function unexpected(text: string, at: number): {ok: false; problem: ExprProblem} {
  const char = String.fromCodePoint(text.codePointAt(at)!);
  return fail(at, char.length, `unexpected character ${JSON.stringify(char)}`, hints[char]);
}

function fail(
  offset: number,
  length: number,
  message: string,
  hint?: string,
): {ok: false; problem: ExprProblem} {
  return {
    ok: false,
    problem: {code: 'EXPR_SYNTAX', message, offset, length, ...(hint === undefined ? {} : {hint})},
  };
}
