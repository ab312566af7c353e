/** What every log promises, of an outbox before a broker and the reader of Kafka. */
import {after, before, suite} from 'node:test';
import {openKafkaReader} from '../../../src/log/kafka/reader.ts';
import {skipWithout} from '../../cluster/needs.ts';
import {conformance} from '../../conformance/log.ts';
import {KafkaRig} from '../../support/kafka-writer.ts';

suite('a log in Kafka, as every log', skipWithout('java', 'mvn'), () => {
  let rig: KafkaRig;
  let tests = 0;
  before(async () => {
    rig = await KafkaRig.start();
  });
  after(() => rig?.stop());

  conformance(
    'Kafka',
    async ({topics}) => {
      const suffix = `.${++tests}`;
      const named = Object.fromEntries(
        Object.entries(topics).map(([name, partitions]) => [`${name}${suffix}`, partitions]),
      );
      const dir = rig.dir();
      const kafka = rig.settings();
      const open = async () => {
        const writer = await rig.writer(named, {dir, kafka});
        return {writer, reader: await openKafkaReader({dir, kafka})};
      };
      let log = await open();
      const shut = async () => {
        log.reader.close();
        await log.writer.close();
      };
      return {
        ...log,
        suffix,
        async reopen() {
          await shut();
          log = await open();
          return log;
        },
        close: shut,
      };
    },
    {
      batches: 'what waits together goes to Kafka as one record batch',
      sizes: 'how much one read gives follows the fetch of the client, and batches are joined',
      clock: 'append times are those of the broker (LogAppendTime)',
      trim: 'retention is the work of the broker',
    },
  );
});
