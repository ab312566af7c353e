import {downServer, localNames} from '../cluster/local.ts';
import type {LocalName} from '../cluster/local-kinds.ts';
import {connectControl} from '../platform/control.ts';
import type {CommandBody} from './command.ts';
import {localNamesOf, localPlace} from './local.ts';
import {printJson, reportFailure} from './output.ts';

export const run: CommandBody = async (call) => {
  const {options, io, args} = call;
  const {root, home} = localPlace(call);
  const wipe = options.wipe === true;
  const names = args.length > 0 ? localNamesOf(args) : localNames;
  // It loses nothing: it waits for what it needs.
  if (await connectControl(root))
    io.stderr.write(
      'a platform runs here: what it writes to these servers waits until they are up again (npx millrace status)\n',
    );
  const ended: LocalName[] = [];
  let code = 0;
  await Promise.all(
    names.map(async (name) => {
      try {
        if (!(await downServer(home, name, wipe))) return;
        ended.push(name);
        io.stderr.write(`${name}: ${wipe ? 'ended, and what it kept is removed' : 'ended'}\n`);
      } catch (error) {
        code = reportFailure(error, io, false);
      }
    }),
  );
  if (options.json) printJson(io, {ended: ended.sort(), wiped: wipe});
  else if (ended.length === 0 && code === 0) io.stderr.write('no local server runs here\n');
  return code;
};
