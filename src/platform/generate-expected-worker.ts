/** The expected results, computed beside everything else. */
import assert from 'node:assert/strict';
import {parentPort, workerData} from 'node:worker_threads';
import {openPrivacy} from '../privacy/opener.ts';
import {type ExpectedInput, expectedOf} from './generate-expected.ts';

openPrivacy();
assert(parentPort, 'this module runs in a worker thread');
parentPort.postMessage(await expectedOf(workerData as ExpectedInput));
