/** Connections that say nothing, from a process of its own: `node events-load.ts <port> <count> <first bytes>`; ends when its input does. */
import {connect} from 'node:net';

const [port, count, text = ''] = process.argv.slice(2);
let open = 0;
let closed = 0;
const opened: Promise<void>[] = [];
for (let i = 0; i < Number(count); i++) {
  opened.push(
    new Promise((resolve) => {
      const socket = connect(Number(port), '127.0.0.1', () => {
        open++;
        if (text !== '') socket.write(text);
        resolve();
      });
      socket.on('error', () => resolve()).on('close', () => closed++);
    }),
  );
  // The queue of connections that wait to be accepted is short.
  if (i % 200 === 199) await Promise.all(opened);
}
await Promise.all(opened);
process.stdout.write(`${open}\n`);
process.stdin.on('end', () => process.exit(0)).resume();
setInterval(() => process.stderr.write(`closed ${closed}\n`), 1000).unref();
