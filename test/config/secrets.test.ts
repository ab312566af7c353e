import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {mkdirSync, symlinkSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {inspect} from 'node:util';
import {explainConfig, formatExplained} from '../../src/config/explain.ts';
import {revealSecrets, Secret} from '../../src/config/secrets/secret.ts';
import {hideSecret, maskSecrets, PlatformError, withoutSecrets} from '../../src/errors.ts';
import {loadPlatform} from '../../src/model/load.ts';
import {directory, load, sinkSpecs} from './directory.ts';

const canary = 'CANARY-7f3a';
const domain = {'config/domains/a.yaml': 'event_types: []'};
const platform = (password: string, more = '') => ({
  ...domain,
  'config/platform.yaml': `sinks:\n  r: {backend: remote, remote: {url: "http://x", password: ${password}}}\n${more}`,
});

test('a secret stays out of JSON, templates, inspect and errors', () => {
  const secret = new Secret(canary);
  const shown = [
    JSON.stringify({secret}),
    `${secret}`,
    String(secret),
    inspect({deep: [{secret}]}, {depth: 9, showHidden: true}),
    new Error(`cannot connect with ${secret}`).stack,
    `${secret}${[secret]}`,
  ].join('\n');
  assert.doesNotMatch(shown, new RegExp(canary));
  assert.equal(secret.reveal(), canary);
});

test('secrets come from .env, then from the environment, by their name or in capitals', async (t) => {
  const files = {
    ...domain,
    '.env': `in_file="${canary}"\nboth=file\n`,
    'config/platform.yaml': `sinks:
  r: {backend: remote, remote: {url: "http://\${secret:HOST_NAME}:\${secret:port}/", password: "\${secret:in_file}", tags: [plain, "\${secret:both}"]}}
server: {token: "\${secret:token}"}
`,
  };
  const variables = {HOST_NAME: 'example', PORT: '80', both: 'variable', TOKEN: '${secret:in_file}'};
  const loaded = await load(t, files, {variables});
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const {options} = loaded.platform.sinks.r!;
  assert.ok(options.password instanceof Secret);
  assert.deepEqual(revealSecrets(options), {
    url: 'http://example:80/',
    password: canary,
    tags: ['plain', 'file'],
  });
  // What a secret holds is not looked at again.
  assert.equal(loaded.platform.server.token!.reveal(), '${secret:in_file}');
  const everything = [
    JSON.stringify(loaded),
    inspect(loaded, {depth: 30, maxStringLength: null, maxArrayLength: null}),
    formatExplained(explainConfig(loaded.config)),
  ].join('\n');
  assert.doesNotMatch(everything, new RegExp(`${canary}|http://example`));
});

test('secrets come from files of one directory, and no link leads out of it', async (t) => {
  const root = directory(t, {
    ...platform('"${secret:inside}"', 'secrets: {backend: file, file: {dir: run/secrets}}\n'),
    'run/secrets/inside': `${canary}\n`,
    'run/outside': 'no',
  });
  const from = (password: string) => {
    writeFileSync(
      join(root, 'config/platform.yaml'),
      platform(password, 'secrets: {backend: file, file: {dir: run/secrets}}\n')['config/platform.yaml'],
    );
    return loadPlatform({from: root, sinkSpecs, variables: {}});
  };
  const inside = await from('"${secret:inside}"');
  assert.ok(inside.ok, JSON.stringify(inside));
  assert.equal((inside.platform.sinks.r!.options.password as Secret).reveal(), canary);

  symlinkSync('inside', join(root, 'run/secrets/link'));
  assert.ok((await from('"${secret:link}"')).ok);
  symlinkSync('../outside', join(root, 'run/secrets/out'));
  mkdirSync(join(root, 'run/secrets/directory'));
  execFileSync('mkfifo', [join(root, 'run/secrets/pipe')]);
  for (const [name, code] of [
    ['out', 'SECRET_UNREADABLE'],
    ['directory', 'SECRET_UNREADABLE'],
    ['pipe', 'SECRET_UNREADABLE'],
    ['missing', 'SECRET_UNKNOWN'],
    ['../outside', 'SECRET_SYNTAX'],
    ['.hidden', 'SECRET_SYNTAX'],
  ] as const) {
    const refused = await from(`"\${secret:${name}}"`);
    assert.ok(!refused.ok, name);
    assert.deepEqual(
      refused.diagnostics.map((diagnostic) => diagnostic.code),
      [code],
      name,
    );
  }
});

test('an unknown secret, a wrong reference and a secret in a wrong place are told with their places', async (t) => {
  const loaded = await load(t, {
    'config/platform.yaml': `platform: "\${secret:name}"
sinks:
  r: {backend: remote, remote: {url: "x \${secret:nope} \${env:HOME}"}}
  s: {backend: chdb, remote: {url: "\${secret:unused}"}}
server: {host: "\${secret:nope}"}
`,
    'config/domains/a.yaml': 'event_types: [{name: a, key: "${secret:x}"}]',
  });
  assert.ok(!loaded.ok);
  assert.deepEqual(
    loaded.diagnostics.map(
      ({file, line, column, code, length}) => `${file}:${line}:${column} ${code} ${length}`,
    ),
    [
      'config/domains/a.yaml:1:30 SECRET_NOT_HERE 13',
      'config/platform.yaml:1:11 SECRET_NOT_HERE 16',
      'config/platform.yaml:3:41 SECRET_UNKNOWN 14',
      'config/platform.yaml:3:56 SECRET_SYNTAX 11',
      'config/platform.yaml:5:16 SECRET_NOT_HERE 16',
    ],
  );
  assert.match(
    loaded.diagnostics.find(({code}) => code === 'SECRET_UNKNOWN')!.hint!,
    /^write NOPE=\.\.\. into \S+\.env, or set it in the environment; npx millrace up --write-env /,
  );
});

test('a token that is empty, as of a variable that is not set, short, or cannot be sent is refused', async (t) => {
  for (const [token, code] of [
    ['', 'VALUE_INVALID'],
    ['1234567', 'VALUE_INVALID'],
    ['with a space', 'VALUE_INVALID'],
    ['schlüsselchen', 'VALUE_INVALID'],
    ['12345678', undefined],
  ] as const) {
    const yaml = 'server: {token: "${secret:token}"}\n';
    const loaded = await load(t, {...domain, 'config/platform.yaml': yaml}, {variables: {TOKEN: token}});
    assert.equal(loaded.ok ? undefined : loaded.diagnostics[0]?.code, code, token);
  }
});

test('a password in a file is a warning, and is hidden all the same', async (t) => {
  const loaded = await load(t, platform(canary));
  assert.ok(loaded.ok);
  assert.deepEqual(
    loaded.warnings.map(({code, line, column}) => [code, line, column]),
    [['SECRET_LITERAL', 2, 60]],
  );
  assert.doesNotMatch(JSON.stringify(loaded.platform), new RegExp(canary));
  assert.doesNotMatch(formatExplained(explainConfig(loaded.config)), new RegExp(canary));
});

test('a plugin adds sinks and secret backends; a broken one is a mistake with its place', async (t) => {
  const root = directory(t, {
    'config/platform.yaml': `plugins: [../plugins/mine.mjs]
secrets: {backend: vaultish, vaultish: {prefix: p-}}
sinks: {q: {backend: queue, queue: {size: 5k, password: "\${secret:x}"}}}
`,
    ...domain,
    'plugins/mine.mjs': `
export const sinks = [{name: 'queue', summary: 's', fields: {size: {type: 'count', doc: 'd'}, password: {type: 'string', secret: true, doc: 'd'}}, capabilities: {raw: false}, open() {}}];
export const secrets = [{name: 'vaultish', summary: 's', fields: {prefix: {type: 'string', doc: 'd'}}, open: async ({prefix}) => ({read: async (name) => prefix + name})}];
`,
    'plugins/broken.mjs': 'export const sinks = [{name: "a"}];',
    'plugins/twice.mjs': 'export const sinks = [{name: "chdb", open() {}}];',
  });
  const loaded = await loadPlatform({from: root, sinkSpecs, variables: {}});
  assert.ok(loaded.ok, JSON.stringify(loaded));
  assert.deepEqual(revealSecrets(loaded.platform.sinks.q!.options), {size: 5000, password: 'p-x'});
  assert.ok('queue' in loaded.sinkSpecs);
  assert.deepEqual(loaded.platform.plugins, [join(root, 'plugins/mine.mjs')]);

  writeFileSync(
    join(root, 'config/platform.yaml'),
    'plugins: [../plugins/broken.mjs, ../plugins/none.mjs, ../plugins/twice.mjs]',
  );
  const broken = await loadPlatform({from: root, sinkSpecs, variables: {}});
  assert.ok(!broken.ok);
  assert.deepEqual(
    broken.diagnostics.map(({code, column}) => `${column} ${code}`),
    ['11 PLUGIN_INVALID', '34 PLUGIN_INVALID', '55 PLUGIN_INVALID'],
  );
});

test('every value is explained with its origin and what it replaced', async (t) => {
  const loaded = await load(
    t,
    {
      'config/platform.yaml': 'defaults: {watermark: 1m}\nserver: {port: 1}\n',
      'config/environments/prod.yaml': 'defaults: {watermark: 2m}\n',
      'config/domains/a.yaml': 'event_types: []\ndefaults: {watermark: 3m}\n',
    },
    {env: 'prod'},
  );
  assert.ok(loaded.ok);
  const explained = (path: string) => explainConfig(loaded.config, path);
  const [platformFile, environment] = [
    {value: '1m', file: 'config/platform.yaml', line: 1, column: 23},
    {value: '2m', file: 'config/environments/prod.yaml', line: 1, column: 23},
  ];
  assert.deepEqual(explained('defaults.watermark'), [
    {
      path: 'defaults.watermark',
      value: '2m',
      origin: {file: 'config/environments/prod.yaml', line: 1, column: 23},
      replaced: [platformFile],
    },
  ]);
  assert.deepEqual(explained('domains.a.defaults.watermark'), [
    {
      path: 'domains.a.defaults.watermark',
      value: '3m',
      origin: {file: 'config/domains/a.yaml', line: 2, column: 23},
      replaced: [environment, platformFile],
    },
  ]);
  assert.deepEqual(
    explained('server')
      .filter(({path}) => ['server.port', 'server.host'].includes(path))
      .map(({path, value, origin}) => [path, value, origin?.line]),
    [
      ['server.port', 1, 2],
      ['server.host', '127.0.0.1', undefined],
    ],
  );
});

test('a secret that is written in a file is masked in the line that is shown, and so is the password of a URL', async (t) => {
  const loaded = await load(t, {
    ...domain,
    'config/platform.yaml': `sinks:
  r: {backend: remote, remote: {url: "http://x", password: ${canary}, wrong: 1}}
registry: {backend: confluent, confluent: {url: "http://user:${canary}2@localhost"}}
`,
  });
  assert.ok(!loaded.ok);
  const shown = loaded.diagnostics.map(({code, source}) => `${code} ${source}`).join('\n');
  assert.match(shown, /SECRET_LITERAL .*password: \*{11}, wrong: 1/);
  assert.match(shown, /VALUE_INVALID .*http:\/\/user:\*{11}\S@localhost/);
  assert.doesNotMatch(shown, new RegExp(canary));
});

test('the password of an address is masked where it cannot be read, has no place, or is none', async (t) => {
  const loaded = await load(t, {
    ...domain,
    'config/platform.yaml': `sinks:
  b: {backend: remote, url: "ftp://user:${canary}4@localhost"}
registry: {backend: confluent, confluent: {url: "http://user:${canary}3#@x@localhost"}}
log:
  backend: kafka
  kafka: {brokers: ["user:${canary}5@kafka:9092", "sasl://:${canary}6@kafka"]}
engine: {embedded: {checkpoints: "s3://key:${canary}7@bucket/x"}}
`,
  });
  assert.ok(!loaded.ok);
  const shown = JSON.stringify(loaded.diagnostics);
  for (const text of ['http://user:*', 'ftp://user:*', '"user:*', 'sasl://:*', 's3://key:*'])
    assert.ok(shown.replaceAll('\\"', '"').includes(text), text);
  assert.doesNotMatch(shown, new RegExp(canary));
  for (const text of [
    'http://localhost:4000/@scope/x, http://127.0.0.1:80, http://[::1]:4000/a@b',
    'http://user:${secret:pg}@host, postgres://user@host:5432/x',
    'postgres://me:***@host',
    'a:b@c, npm:x@1.2 and "12:30@noon"',
  ])
    assert.equal(withoutSecrets(text), text);
  assert.equal(withoutSecrets('refused by redis://me:p@ss@host:1/x'), 'refused by redis://me:***@host:1/x');
});

test('a secret that is short or an ordinary word is hidden where a secret stands, and nowhere else', async (t) => {
  const loaded = await load(t, {
    ...platform('"${secret:weak}"'),
    '.env': 'weak=kafka\n',
  });
  assert.ok(loaded.ok);
  assert.deepEqual(
    loaded.warnings.map(({code, line, column}) => [code, line, column]),
    [['SECRET_WEAK', 2, 61]],
  );
  for (const text of ['millrace', 'true', 'a.b*c', 'Postgres']) hideSecret(text);
  for (const text of [
    'npx millrace resume; log.backend: kafka is true of user "kafka" and a.b*c',
    'the password of Postgres, keys kafka-1 and tokens of kafka',
    'postgres://kafka@kafka:9092/kafka',
  ])
    assert.equal(withoutSecrets(text), text);
  assert.equal(
    withoutSecrets(
      `password=kafka, "token": "true", secret_key: 'a.b*c', password "Postgres" is wrong, http://me:millrace@kafka/`,
    ),
    `password=***, "token": "***", secret_key: '***', password "***" is wrong, http://me:***@kafka/`,
  );
  assert.equal(maskSecrets('  password: kafka, wrong: 1'), '  password: *****, wrong: 1');
  assert.equal(
    new PlatformError('USAGE', 'a', {hint: 'npx millrace up kafka'}).hint,
    'npx millrace up kafka',
  );
  for (const text of ['correct-horse', 'battery9', 'correcthorse', '12345678']) {
    hideSecret(text);
    assert.equal(withoutSecrets(`in the middle of${text}text`), 'in the middle of***text');
  }
});
