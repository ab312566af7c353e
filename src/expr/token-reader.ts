/** The tokens of an expression, one after the other, and what is said when the wrong one comes. */
import type {Token} from './lex.ts';
import type {ExprProblem, Span} from './types.ts';

/** Thrown by a reader of tokens, caught by `parseExpr`: the first syntax error ends it. */
export class SyntaxProblem extends Error {
  readonly problem: ExprProblem;
  constructor(problem: ExprProblem) {
    super(problem.message);
    this.problem = problem;
  }
}

/** What a rule of the grammar asks for what comes, and how it fails. */
export class TokenReader {
  readonly #tokens: Token[];
  #at = 0;

  /** @param tokens the last of them is the end */
  constructor(tokens: Token[]) {
    this.#tokens = tokens;
  }

  peek(ahead = 0): Token {
    return this.#tokens[Math.min(this.#at + ahead, this.#tokens.length - 1)]!;
  }

  /** Takes the next token. */
  next(): Token {
    const token = this.peek();
    this.#at++;
    return token;
  }

  /** Whether the token `ahead` is this symbol or keyword. */
  is(word: string, ahead = 0): boolean {
    return wordOf(this.peek(ahead)) === word;
  }

  /** Takes the next token when it is this symbol or keyword. */
  accept(word: string): boolean {
    if (!this.is(word)) return false;
    this.#at++;
    return true;
  }

  /** Takes this symbol or keyword. @throws SyntaxProblem when another comes */
  expect(word: string, context: string): Token {
    const token = this.peek();
    if (wordOf(token) !== word) this.fail(token, `expected "${word}" ${context}, found ${show(token)}`);
    return this.next();
  }

  /** @throws SyntaxProblem at the token */
  fail(token: Token, message: string, hint?: string, code = 'EXPR_SYNTAX'): never {
    throw new SyntaxProblem({
      code,
      message,
      offset: token.offset,
      length: token.length,
      ...(hint === undefined ? {} : {hint}),
    });
  }

  /** From the first one to the last that was taken. */
  span(first: Span): Span {
    const last = this.#tokens[this.#at - 1]!;
    return {offset: first.offset, length: last.offset + last.length - first.offset};
  }
}

/** The keyword or symbol that a token is; names in any case, quoted names never. */
export function wordOf(token: Token): string | undefined {
  if (token.kind === 'symbol') return token.text;
  return token.kind === 'name' ? token.text.toLowerCase() : undefined;
}

/** Where a token stands. */
export const spanOf = ({offset, length}: Span): Span => ({offset, length});

/** A token as messages write it. */
export function show(token: Token): string {
  if (token.kind === 'end') return 'the end';
  if (token.kind === 'string') return `'${token.text}'`;
  return `"${token.text}"`;
}
