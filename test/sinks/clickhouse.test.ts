/** The suite of every sink, over TCP: ClickHouse's HTTP protocol in front of chDB. */
import {after} from 'node:test';
import {testSink} from '../conformance/sink.ts';
import {clickHouseServer, clickHouseSubject} from '../support/clickhouse.ts';

const server = await clickHouseServer();
after(() => server.kill());

testSink('clickhouse', {choice: () => server.choice(), ...clickHouseSubject});
