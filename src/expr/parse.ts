/** The grammar of expressions: by strength of binding, a method for each rule. */
import {nearest} from '../config/nearest.ts';
import {parseDate, parseTimestamp} from './calendar.ts';
import {lex, type Token} from './lex.ts';
import {SyntaxProblem, show, spanOf, TokenReader, wordOf} from './token-reader.ts';
import type {Expr, ExprProblem, Span} from './types.ts';
import {
  castTypes,
  comparisonStrength,
  comparisons,
  notStrength,
  reserved,
  strengths,
  typeNames,
  unaryStrength,
} from './words.ts';

/** Limits on one expression: text in bytes, nested parts, parts in all. */
export const limits = {textBytesMax: 4096, depthMax: 64, nodesMax: 1000} as const;

/** Parses one SQL scalar expression. Never throws; offsets count UTF-16 units. */
export function parseExpr(text: string): {ok: true; expr: Expr} | {ok: false; problems: ExprProblem[]} {
  const bytes = Buffer.byteLength(text);
  if (bytes > limits.textBytesMax)
    return {
      ok: false,
      problems: [
        {
          code: 'EXPR_LIMIT',
          message: `the expression has ${bytes} bytes, at most ${limits.textBytesMax} are allowed`,
          offset: 0,
          length: text.length,
          hint: 'split it into derived columns',
        },
      ],
    };
  const lexed = lex(text);
  if (!lexed.ok) return {ok: false, problems: [lexed.problem]};
  try {
    return {ok: true, expr: new Parser(lexed.tokens).whole()};
  } catch (error) {
    if (error instanceof SyntaxProblem) return {ok: false, problems: [error.problem]};
    throw error;
  }
}

class Parser extends TokenReader {
  #depth = 0;
  #nodes = 0;

  whole(): Expr {
    if (this.peek().kind === 'end')
      this.fail(this.peek(), 'the expression is empty', 'write for example amount > 0.00');
    const expr = this.#expression(0);
    const rest = this.peek();
    if (rest.kind !== 'end') this.fail(rest, `${show(rest)} does not belong here`, leftoverHint(rest));
    return expr;
  }

  #node<E extends Expr>(expr: E): E {
    if (++this.#nodes > limits.nodesMax) this.#tooLarge(`has more than ${limits.nodesMax} parts`);
    return expr;
  }

  #tooLarge(how: string): never {
    this.fail(this.peek(), `the expression ${how}`, 'split it into derived columns', 'EXPR_LIMIT');
  }

  #op(op: string, args: Expr[], from: Span): Expr {
    return this.#node({kind: 'op', op, args, span: this.span(from)});
  }

  #expression(strength: number): Expr {
    if (++this.#depth > limits.depthMax) this.#tooLarge(`is nested more than ${limits.depthMax} deep`);
    let left = this.#prefix();
    for (;;) {
      const word = wordOf(this.peek());
      const own = word === undefined || !Object.hasOwn(strengths, word) ? undefined : strengths[word];
      if (own === undefined || own <= strength) break;
      // Inside "not x", comparisons bind tighter; after "a = b" another comparison is refused below.
      left = this.#infix(left, word!, own);
    }
    this.#depth--;
    return left;
  }

  #infix(left: Expr, word: string, own: number): Expr {
    if (own === comparisonStrength) return this.#comparison(left);
    this.next();
    const right = this.#expression(own);
    // "a and b and c" is one node: long chains stay shallow.
    if (
      (word === 'and' || word === 'or' || word === '||') &&
      left.kind === 'op' &&
      left.op === word &&
      !this.#closed.has(left)
    )
      return this.#op(word, [...left.args, right], left.span);
    return this.#op(word, [left, right], left.span);
  }

  /** Nodes that stood in parentheses: "(a and b) and c" keeps its shape. */
  readonly #closed = new WeakSet<Expr>();

  #comparison(left: Expr): Expr {
    const token = this.peek();
    if (left.kind === 'op' && comparisons.has(left.op) && !this.#closed.has(left))
      this.fail(
        token,
        `a comparison cannot be compared again with ${show(token)}`,
        'use "and", "between", or parentheses',
      );
    const word = wordOf(this.next())!;
    if (word === 'is') return this.#is_(left);
    if (word === 'not') {
      const next = this.peek();
      if (this.accept('in')) return this.#op('not', [this.#in(left)], left.span);
      if (this.accept('between')) return this.#op('not', [this.#between(left)], left.span);
      if (this.accept('like')) return this.#op('not', [this.#like(left)], left.span);
      this.fail(next, `expected "in", "between" or "like" after "not", found ${show(next)}`);
    }
    if (word === 'in') return this.#in(left);
    if (word === 'between') return this.#between(left);
    if (word === 'like') return this.#like(left);
    const right = this.#expression(comparisonStrength);
    return this.#op(word === '!=' ? '<>' : word, [left, right], left.span);
  }

  #is_(left: Expr): Expr {
    const negated = this.accept('not');
    let test: Expr;
    if (this.accept('null')) test = this.#op('is null', [left], left.span);
    else if (this.accept('distinct')) {
      this.expect('from', 'after "is distinct"');
      test = this.#op('is distinct from', [left, this.#expression(comparisonStrength)], left.span);
    } else
      this.fail(
        this.peek(),
        `expected "null" or "distinct from" after "is", found ${show(this.peek())}`,
        this.is('true') || this.is('false') ? 'compare with "=", or use the condition itself' : undefined,
      );
    return negated ? this.#op('not', [test], left.span) : test;
  }

  #in(left: Expr): Expr {
    this.expect('(', 'after "in"');
    const list = [this.#expression(0)];
    while (this.accept(',')) list.push(this.#expression(0));
    this.expect(')', 'after the list of "in"');
    return this.#op('in', [left, ...list], left.span);
  }

  #between(left: Expr): Expr {
    const low = this.#expression(comparisonStrength);
    this.expect('and', 'between the bounds of "between"');
    return this.#op('between', [left, low, this.#expression(comparisonStrength)], left.span);
  }

  #like(left: Expr): Expr {
    const args = [left, this.#expression(comparisonStrength)];
    if (this.accept('escape')) args.push(this.#expression(comparisonStrength));
    return this.#op('like', args, left.span);
  }

  #prefix(): Expr {
    const token = this.next();
    switch (token.kind) {
      case 'integer':
        return this.#integer(token, token.text, token);
      case 'decimal':
        return this.#decimal(token, token.text, token);
      case 'string':
        return this.#node({kind: 'literal', type: 'string', value: token.text, span: spanOf(token)});
      case 'quoted':
        return this.#node({kind: 'name', name: token.text, span: spanOf(token)});
      case 'name':
        return this.#word(token);
      case 'end':
        return this.fail(token, 'the expression ends too early');
      case 'symbol':
        return this.#symbol(token);
    }
  }

  #symbol(token: Token): Expr {
    if (token.text === '(') {
      const inner = this.#expression(0);
      this.expect(')', 'to close the parenthesis');
      this.#closed.add(inner);
      return inner;
    }
    if (token.text === '-') {
      const digits = this.peek();
      // The sign belongs to the literal, or -9223372036854775808 could not be written.
      if (digits.kind === 'integer') {
        this.next();
        return this.#integer(digits, `-${digits.text}`, this.span(token));
      }
      if (digits.kind === 'decimal') {
        this.next();
        return this.#decimal(digits, `-${digits.text}`, this.span(token));
      }
      return this.#op('-', [this.#expression(unaryStrength)], token);
    }
    if (token.text === '+') return this.#expression(unaryStrength);
    return this.fail(token, `expected a value, found ${show(token)}`);
  }

  #integer(token: Token, text: string, span: Span): Expr {
    const exact = BigInt(text);
    if (BigInt.asIntN(64, exact) !== exact)
      this.fail(token, 'the number does not fit into 64 bits', 'write it with a decimal point');
    const value = exact >= -(2n ** 53n) && exact <= 2n ** 53n ? Number(exact) : exact;
    return this.#node({kind: 'literal', type: 'long', value, span: spanOf(span)});
  }

  #decimal(token: Token, text: string, span: Span): Expr {
    const value = Number(text);
    if (!Number.isFinite(value)) this.fail(token, 'the number is too large for a double');
    return this.#node({kind: 'literal', type: 'double', value, text, span: spanOf(span)});
  }

  #word(token: Token): Expr {
    const word = token.text.toLowerCase();
    const next = this.peek();
    const span = spanOf(token);
    if (word === 'null') return this.#node({kind: 'literal', type: 'null', value: null, span});
    if (word === 'true' || word === 'false')
      return this.#node({kind: 'literal', type: 'boolean', value: word === 'true', span});
    if (word === 'not') return this.#op('not', [this.#expression(notStrength)], token);
    if (word === 'case') return this.#case(token);
    if (word === 'cast') return this.#cast(token);
    if (next.kind === 'string' && (word === 'timestamp' || word === 'date')) return this.#moment(token, word);
    // `distinct(x)` is a measure, `is distinct from` an operator.
    if (reserved.has(word) && !(word === 'distinct' && this.is('(')))
      this.fail(
        token,
        `expected a value, found the keyword "${token.text}"`,
        `a column of that name is written "${token.text}"`,
      );
    if (this.is('(')) return this.#call(token);
    if (next.kind === 'string')
      this.fail(next, `${show(next)} does not belong here`, "literals of time: timestamp '...', date '...'");
    return this.#node({kind: 'name', name: token.text, span});
  }

  #moment(token: Token, type: 'timestamp' | 'date'): Expr {
    const content = this.next();
    const value = type === 'timestamp' ? parseTimestamp(content.text) : parseDate(content.text);
    if (value === undefined)
      this.fail(
        content,
        `${show(content)} is no ${type}`,
        type === 'timestamp'
          ? "write for example timestamp '2024-01-31 12:00:00' (UTC) or timestamp '2024-01-31T12:00:00+02:00'"
          : "write for example date '2024-01-31'",
        'EXPR_LITERAL',
      );
    return this.#node({kind: 'literal', type, value, span: this.span(token)});
  }

  #call(token: Token): Expr {
    this.next();
    const name = token.text.toLowerCase();
    const args: Expr[] = [];
    if (name === 'count' && this.is('*') && this.is(')', 1)) this.next();
    else if (!this.is(')')) {
      if (this.is('distinct'))
        this.fail(this.peek(), '"distinct" does not stand inside a call', 'write distinct(column)');
      do args.push(this.#expression(0));
      while (this.accept(','));
    }
    this.expect(')', `to close ${token.text}(`);
    return this.#node({kind: 'call', name, args, span: this.span(token)});
  }

  #case(token: Token): Expr {
    const operand = this.is('when') ? undefined : this.#expression(0);
    const whens: {when: Expr; then: Expr}[] = [];
    while (this.accept('when')) {
      const when = this.#expression(0);
      this.expect('then', 'after the condition of "when"');
      // biome-ignore lint/suspicious/noThenProperty: the tree's words are SQL's; nothing awaits it.
      whens.push({when, then: this.#expression(0)});
    }
    if (whens.length === 0) this.fail(this.peek(), `expected "when" in "case", found ${show(this.peek())}`);
    const otherwise = this.accept('else') ? this.#expression(0) : undefined;
    this.expect('end', 'to close "case"');
    return this.#node({kind: 'case', operand, whens, otherwise, span: this.span(token)});
  }

  #cast(token: Token): Expr {
    this.expect('(', 'after "cast"');
    const arg = this.#expression(0);
    this.expect('as', 'in "cast(value as type)"');
    const name = this.next();
    const to = castTypes.find((type) => type === name.text.toLowerCase());
    if (name.kind !== 'name' || to === undefined) {
      const close = typeNames[name.text.toLowerCase()] ?? nearest(name.text, castTypes);
      this.fail(
        name,
        `${show(name)} is no type that a value can be cast to`,
        close === undefined ? `types: ${castTypes.join(', ')}` : `did you mean "${close}"?`,
      );
    }
    this.expect(')', 'to close "cast("');
    return this.#node({kind: 'cast', arg, to, span: this.span(token)});
  }
}

function leftoverHint(token: Token): string | undefined {
  if (token.text === ')') return 'there is no "(" for it';
  if (token.kind === 'name' || token.kind === 'string' || token.kind === 'integer')
    return 'an operator is missing before it';
  return undefined;
}
