import {type ErrorCode, errors, PlatformError} from '../../errors.ts';
import type {Failure} from './worker-messages.ts';

/** An error as it crosses threads; our own mistakes keep their stack, for the log alone. */
export function failureOf(error: unknown): Failure {
  if (error instanceof PlatformError) {
    const {code, message, hint, place} = error;
    return {code, message, ...(hint ? {hint} : {}), ...(place ? {place} : {})};
  }
  const {message, stack} = error instanceof Error ? error : new Error(String(error));
  return {code: null, message, ...(stack ? {stack} : {})};
}

/** The error again; one without a code was our mistake. */
export function errorOf({code, message, hint, place}: Failure): PlatformError {
  const known = code !== null && Object.hasOwn(errors, code) ? (code as ErrorCode) : 'QUERY_FAILED';
  return new PlatformError(known, message, {...(hint ? {hint} : {}), ...(place ? {place} : {})});
}
