import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {openLogReader, openLogWriter} from '../../src/log/embedded.ts';
import {conformance} from '../conformance/log.ts';

for (const announced of [true, false])
  conformance(announced ? 'embedded' : 'embedded, polled', async ({clock}) => {
    const dir = mkdtempSync(join(tmpdir(), 'millrace-log-'));
    const counter = new SharedArrayBuffer(4);
    const open = () => {
      const writer = openLogWriter(dir, {...(clock && {clock}), counter});
      return {writer, reader: openLogReader(dir, announced ? {counter} : {})};
    };
    let log = open();
    const shut = async () => {
      log.reader.close();
      await log.writer.close();
    };
    return {
      ...log,
      suffix: '',
      async reopen() {
        await shut();
        log = open();
        return log;
      },
      async close() {
        await shut();
        rmSync(dir, {recursive: true});
      },
    };
  });
