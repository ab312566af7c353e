/**
 * A secret backend of your own: asks a program, such as `pass` or a password manager's client, for each secret.
 *
 *   platform.yaml:   plugins: [./plugins/command-secrets.ts]
 *                    secrets: {backend: command, command: {run: [pass, show]}}
 */
import {execFile} from 'node:child_process';
import {promisify} from 'node:util';
import type {SecretBackendSpec} from '../../src/config/secrets/types.ts';

const command: SecretBackendSpec = {
  name: 'command',
  summary: 'Runs a program with the name of the secret as its last argument and takes what it prints.',
  fields: {
    run: {
      type: 'list',
      of: {type: 'string', doc: 'The program, then its arguments.'},
      doc: 'The program and its arguments; there is no shell.',
      required: true,
    },
  },
  async open(options, {root, env}) {
    const [program, ...args] = options.run as string[];
    return {
      // Undefined would mean "there is no such secret"; a program that fails cannot say that, so its failure is thrown.
      async read(name) {
        const {stdout} = await promisify(execFile)(program!, [...args, name], {
          cwd: root,
          env,
          timeout: 10_000,
        });
        return stdout.replace(/\r?\n$/, '');
      },
    };
  },
};

export const secrets = [command];
