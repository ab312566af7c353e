import {SecretKeeper} from '../config/secrets/keeper.ts';
import {startConsole} from '../console/start.ts';
import {PlatformError, withoutSecrets} from '../errors.ts';
import {consoleRole} from '../model/roles.ts';
import type {CommandCall} from './command.ts';
import {requirePlatform} from './context.ts';
import {escapeControls} from './output.ts';
import {listenForStop} from './signals.ts';

/** Options of `run` that are about work, of which a console does none. */
const working = {
  fast: '--fast',
  untilIdle: '--until-idle',
  standby: '--standby',
  revise: '--revise',
} as const;

/** `run --only console`: answers questions until it is stopped. @param port undefined: that of the configuration */
export async function runConsole(call: CommandCall, port: number | undefined): Promise<number> {
  const {options, io} = call;
  for (const [name, flag] of Object.entries(working))
    if (options[name] !== undefined && options[name] !== false)
      throw new PlatformError('USAGE', `${flag} is nothing for --only console: it does no work`, {
        hint: `npx millrace run --only console${port === undefined ? '' : ` --port ${port}`}`,
      });
  const stop = listenForStop();
  const say = (text: string) => void io.stderr.write(`${escapeControls(withoutSecrets(text))}\n`);
  const keeper = new SecretKeeper((message) => say(`warn: ${message}`));
  try {
    const platform = await requirePlatform(call, {keeper});
    if (platform.log.backend === 'embedded')
      throw new PlatformError(
        'USAGE',
        '--only: processes of several roles meet in Kafka, and the log is embedded',
        {
          hint: 'set log.backend: kafka, or name an environment that does, as --env single; or run without --only',
        },
      );
    if (platform.pii)
      throw new PlatformError(
        'USAGE',
        `--only ${consoleRole}: it has no keys for protected values, which one process alone has`,
        {hint: 'run a platform with pii: without --only: docs/personal-data.md says why'},
      );
    const running = await startConsole(platform, {say, ...(port === undefined ? {} : {port})});
    say(`millrace ${platform.name} console running at ${running.url}`);
    await stop.first;
    await running.close();
    return 0;
  } finally {
    await keeper.close();
    stop.release();
  }
}
