/** TLS options that sections of servers share. */

import type {TlsTexts} from '../http-client.ts';
import {readPlain} from '../plain-file.ts';
import type {FieldSpec} from './fields.ts';

/** `tls:` of a server that is spoken to over HTTP. */
export const tlsSpec: FieldSpec = {
  type: 'object',
  doc: 'TLS of an address that begins with https://. Without it the authorities that Node knows are trusted.',
  fields: {
    ca: {type: 'path', doc: 'File in PEM with the authorities that are trusted instead.'},
    cert: {type: 'path', doc: 'File in PEM with our own certificate, where the server asks for one.'},
    key: {type: 'path', doc: 'File in PEM with the key of that certificate.'},
  },
};

/** What stands under `tls:`, as absolute paths. */
export type TlsFiles = {ca?: string; cert?: string; key?: string};

/** Reads the files. @throws Error that names the file that cannot be read */
export async function readTls(files: TlsFiles = {}): Promise<TlsTexts> {
  const texts: TlsTexts = {};
  for (const name of ['ca', 'cert', 'key'] as const) {
    const path = files[name];
    if (path === undefined) continue;
    try {
      texts[name] = readPlain(path);
    } catch (error) {
      const {code, message} = error as NodeJS.ErrnoException;
      throw new Error(
        `tls.${name}: ${path} cannot be read: ${code === 'ENOENT' ? 'there is no such file' : (code ?? message)}`,
        {
          cause: error,
        },
      );
    }
  }
  return texts;
}
