import {jsonSchema as schemaOf} from '../config/json-schema.ts';
import {secretBackends} from '../config/secrets/registry.ts';
import {PlatformError} from '../errors.ts';
import {sinks} from '../sinks/registry.ts';
import type {CommandBody} from './command.ts';
import {load} from './context.ts';
import {printJson} from './output.ts';

export const jsonSchema: CommandBody = async (call) => {
  const kind = call.args[0] ?? 'platform';
  if (kind !== 'platform' && kind !== 'environment' && kind !== 'domain')
    throw new PlatformError('USAGE', `there is no schema of "${kind}"`, {
      hint: 'platform, environment or domain',
    });
  const loaded = await load(call);
  const backends = loaded.ok
    ? {sinks: loaded.sinkSpecs, secrets: loaded.secretSpecs}
    : {sinks, secrets: secretBackends};
  printJson(call.io, schemaOf(kind, backends));
  return 0;
};
