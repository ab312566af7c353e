/** A platform that takes events, and requests as they are given. */
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {Agent, type OutgoingHttpHeaders, request} from 'node:http';
import {join} from 'node:path';
import {readDeadLetters, type StoredDeadLetter} from '../../src/ingest/deadletters.ts';
import {openLogReader} from '../../src/log/embedded.ts';
import {loadPlatform} from '../../src/model/load.ts';
import type {Platform} from '../../src/model/types.ts';
import {type RunningPlatform, startPlatform} from '../../src/platform/runtime.ts';
import {sinks} from '../../src/sinks/registry.ts';
import type {SinkSpec} from '../../src/sinks/types.ts';
import {makeRoot} from '../support/cli.ts';

/** Every type that a field may have. */
export const shopYaml = `domain: shop
event_types:
  - name: purchase
    key: user_id
    attributes: [user_id, {name: order, type: uuid}, {name: due, type: date}, {name: seen, type: timestamp}, {name: gift, type: boolean}]
    dimensions: [country, {name: size, type: enum, symbols: [s, m, l]}]
    metrics:
      - {name: amount, type: money}
      - {name: quantity, type: long, required: false}
      - {name: weight, type: double, required: false}
      - {name: floor, type: int, required: false}
    checks: {amount_is_positive: amount > 0.00}
  - name: note
    attributes: [text]
`;

export type Answer = {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  json: {
    request: string;
    received: number;
    appended: number;
    duplicate: number;
    rejected: number;
    records: {index: number; event_id: string | null; status: string; code?: string; message?: string}[];
    error: {code: string; message: string; hint?: string};
  };
};

export type EventsWorld = {
  running: RunningPlatform;
  root: string;
  port: number;
  token: string;
  /** @param path behind /v1/events/ */
  post(path: string, body: string | Uint8Array, headers?: OutgoingHttpHeaders): Promise<Answer>;
  /** Dead letters of the domain, oldest first. */
  letters(): Promise<StoredDeadLetter[]>;
  /** Ledger of what came over HTTP: received, appended, duplicate, rejected. */
  books(eventType: string): number[];
  end(): Promise<void>;
};

/** @param server lines of the section `server:` beside the port */
export async function eventsWorld(yaml = shopYaml, server = ''): Promise<EventsWorld> {
  const root = makeRoot({
    'config/platform.yaml': `platform: shop\nsinks: {rows: {backend: file}}\ndefaults: {aggregates: rows, raw: none}\nserver: {port: 0${server}}\n`,
    'config/domains/shop.yaml': yaml,
  });
  const loaded = await loadPlatform({
    from: root,
    variables: {},
    sinkSpecs: sinks as Record<string, SinkSpec>,
  });
  assert.ok(loaded.ok, JSON.stringify(loaded.ok ? '' : loaded.diagnostics));
  const running = await startPlatform(loaded.platform as Platform);
  const port = Number(new URL(running.url).port);
  const token = readFileSync(join(root, '.millrace/token'), 'utf8').trim();
  const agent = new Agent({keepAlive: true, maxSockets: 64});
  let isEnded = false;
  return {
    running,
    root,
    port,
    token,
    post: (path, body, headers = {}) =>
      new Promise((resolve, reject) => {
        const call = request(
          {
            port,
            host: '127.0.0.1',
            agent,
            path: `/v1/events/${path}`,
            method: 'POST',
            headers: {authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers},
          },
          (response) => {
            const chunks: Buffer[] = [];
            response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', reject);
            response.on('end', () => {
              const text = Buffer.concat(chunks).toString();
              resolve({
                status: response.statusCode!,
                headers: response.headers,
                text,
                json: JSON.parse(text),
              });
            });
          },
        );
        call.on('error', reject);
        call.end(body);
      }),
    async letters() {
      const reader = openLogReader(running.dirs.log);
      try {
        return await Array.fromAsync(readDeadLetters(reader, 'shop'));
      } finally {
        reader.close();
      }
    },
    books(eventType) {
      const reader = openLogReader(running.dirs.log);
      try {
        const line = reader.ledger().find((each) => each.eventType === eventType && each.source === 'http');
        return line ? [line.received, line.appended, line.duplicate, line.rejected] : [0, 0, 0, 0];
      } finally {
        reader.close();
      }
    },
    async end() {
      agent.destroy();
      if (isEnded) return;
      isEnded = true;
      await running.drain();
    },
  };
}
