/** What passes by itself and what does not, by SQLSTATE: https://www.postgresql.org/docs/15/errcodes-appendix.html */
import assert from 'node:assert/strict';
import {test} from 'node:test';
import {PlatformError} from '../../src/errors.ts';
import {connectionError, queryError, statementError} from '../../src/sinks/postgres/errors.ts';

const failure = (code: string, message = 'it failed') => Object.assign(new Error(message), {code});

const expected: Record<string, string[]> = {
  SINK_UNAVAILABLE: [
    '08006', // connection_failure
    '25006', // read_only_sql_transaction
    '25P03', // idle_in_transaction_session_timeout
    '40001', // serialization_failure
    '40P01', // deadlock_detected
    '53100', // disk_full
    '53200', // out_of_memory
    '53300', // too_many_connections
    '55P03', // lock_not_available
    '57014', // query_canceled, also by statement_timeout
    '57P01', // admin_shutdown
    '57P02', // crash_shutdown
    '57P03', // cannot_connect_now
    '58030', // io_error
    'EPIPE',
    'ECONNRESET',
    'ECONNREFUSED',
    'ENOTFOUND',
    'ETIMEDOUT',
  ],
  SINK_REFUSED: [
    '0A000', // feature_not_supported
    '28000', // invalid_authorization_specification
    '28P01', // invalid_password
    '3D000', // invalid_catalog_name
    '42501', // insufficient_privilege
    '42P01', // undefined_table
    '42804', // datatype_mismatch
    'CERT_HAS_EXPIRED',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  ],
  SINK_ROW: [
    '22001', // string_data_right_truncation
    '22021', // character_not_in_repertoire
    '23502', // not_null_violation
    '23514', // check_violation
    '54000', // program_limit_exceeded: a key larger than an index takes
  ],
  SINK_DAMAGED: ['XX001', 'XX002'],
};

test('failures of statements pass, stop, or are about a row', () => {
  for (const [code, states] of Object.entries(expected))
    for (const state of states) {
      const error = statementError(failure(state), 'shop.purchase');
      assert.equal(error.code, code, state);
      assert.equal(error.retry, code === 'SINK_UNAVAILABLE', state);
      if (!error.retry) assert.ok(error.hint, state);
    }
  assert.equal(connectionError(failure('', 'SASL: wrong'), 'x').code, 'SINK_REFUSED');
  const several = new AggregateError([
    failure('ECONNREFUSED', 'refused ::1'),
    failure('ECONNREFUSED', 'refused 127.0.0.1'),
  ]);
  assert.match(connectionError(several, 'x').message, /^refused ::1; refused 127\.0\.0\.1$/);
});

test('what cannot be reached says what to look at', () => {
  const hintOf = (message: string) => connectionError(new Error(message), 'x').hint ?? '';
  assert.match(hintOf('getaddrinfo ENOTFOUND nowhere.invalid'), /name of the host/);
  assert.match(hintOf('connect ECONNREFUSED 127.0.0.1:1'), /address and port/);
  assert.match(hintOf('write EPROTO 40:error:0A00010B:SSL routines::wrong version number'), /speaks no TLS/);
  assert.match(hintOf('read ETIMEDOUT'), /can it be reached/);
});

test('what a user’s SQL does wrong is his; that the server went away is not', () => {
  assert.equal(queryError(failure('42P01')).code, 'SINK_QUERY');
  assert.equal(queryError(failure('57014')).code, 'SINK_QUERY');
  assert.equal(queryError(new Error('Connection terminated unexpectedly')).code, 'SINK_UNAVAILABLE');
  assert.equal(queryError(Object.assign(failure('ECONNREFUSED'), {errno: -111})).code, 'SINK_UNAVAILABLE');
  assert.ok(queryError(failure('XX001')) instanceof PlatformError);
});
