/** An expression that has no value for this event (overflow, failed cast): the event becomes a dead letter `EXPRESSION`. */
export class ExpressionFailure extends Error {
  readonly code = 'EXPRESSION';

  constructor(message: string) {
    super(message);
    this.name = 'ExpressionFailure';
  }
}
