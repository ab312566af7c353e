/** Starts a server that cannot be started, and prints why. Argument: its name. */
import {startKafka} from '../../src/cluster/kafka.ts';
import {startVault} from '../../src/cluster/openbao.ts';
import {startPrometheus} from '../../src/cluster/prometheus.ts';
import {PlatformError} from '../../src/errors.ts';

const starts: Record<string, () => Promise<unknown>> = {
  kafka: startKafka,
  vault: startVault,
  prometheus: startPrometheus,
};
try {
  await starts[process.argv[2]!]!();
} catch (error) {
  if (!(error instanceof PlatformError)) throw error;
  const {code, message, hint} = error;
  process.stdout.write(JSON.stringify({code, message, hint}));
}
