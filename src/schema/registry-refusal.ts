/** What a registry answers instead of doing what it was asked: Confluent's codes and words, which clients look at. */

/** `errorCode` begins with the status, or is the status itself. */
export class Refusal extends Error {
  readonly errorCode: number;
  readonly status: number;
  constructor(errorCode: number, message: string) {
    super(message);
    this.name = 'Refusal';
    this.errorCode = errorCode;
    this.status = errorCode > 999 ? Math.floor(errorCode / 100) : errorCode;
  }
}

/** One function a code; each makes a refusal to be thrown. */
export const refusals = {
  subjectNotFound: (subject: string) => new Refusal(40401, `Subject '${subject}' not found.`),
  versionNotFound: (version: number) => new Refusal(40402, `Version ${version} not found.`),
  schemaNotFound: (id?: number | string) =>
    new Refusal(40403, id === undefined ? 'Schema not found' : `Schema ${id} not found`),
  subjectSoftDeleted: (subject: string) =>
    new Refusal(40404, `Subject '${subject}' was soft deleted. Set permanent=true to delete permanently`),
  subjectNotSoftDeleted: (subject: string) =>
    new Refusal(40405, `Subject '${subject}' was not deleted first before being permanently deleted`),
  versionSoftDeleted: (subject: string, version: number) =>
    new Refusal(
      40406,
      `Subject '${subject}' Version ${version} was soft deleted. Set permanent=true to delete permanently`,
    ),
  versionNotSoftDeleted: (subject: string, version: number) =>
    new Refusal(
      40407,
      `Subject '${subject}' Version ${version} was not deleted first before being permanently deleted`,
    ),
  configNotSet: (subject: string) =>
    new Refusal(40408, `Subject '${subject}' does not have subject-level compatibility configured`),
  modeNotSet: (subject: string) =>
    new Refusal(40409, `Subject '${subject}' does not have subject-level mode configured`),
  incompatible: (subject: string, details: string) =>
    new Refusal(
      409,
      `Schema being registered is incompatible with an earlier schema for subject "${subject}", details: ${details}`,
    ),
  invalidSchema: (message: string) => new Refusal(42201, message),
  invalidVersion: (version: string) =>
    new Refusal(
      42202,
      `The specified version '${version}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string "latest"`,
    ),
  invalidCompatibility: (message?: string) =>
    new Refusal(
      42203,
      message ??
        'Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive',
    ),
  invalidMode: (message?: string) =>
    new Refusal(
      42204,
      message ?? 'Invalid mode. Valid values are READWRITE, READONLY, READONLY_OVERRIDE and IMPORT.',
    ),
  notPermitted: (message: string) => new Refusal(42205, message),
  referenced: (subject: string, version: number) =>
    new Refusal(
      42206,
      `One or more references exist to the schema {magic=1,keytype=SCHEMA,subject=${subject},version=${version}}.`,
    ),
  invalidSubject: (subject: string) =>
    new Refusal(42208, `The specified subject '${subject}' is not a valid subject.`),
  schemaTooLarge: (bytesMax: number) =>
    new Refusal(42209, `Register operation failed because schema is too large: more than ${bytesMax} bytes`),
  schemaTooComplex: (partsMax: number) =>
    new Refusal(42209, `Register operation failed because schema is too large: more than ${partsMax} parts`),
  invalidRuleSet: (message: string) => new Refusal(42210, message),
} as const;
