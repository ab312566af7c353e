import type {FieldSpec} from '../fields.ts';

/** Key `transform` of an event type. */
export const transformSpec: FieldSpec = {
  type: 'object',
  short: 'module',
  doc: 'A function of yours that every record passes before the log: event in, events out or a rejection.',
  example: './transforms/geo.ts',
  fields: {
    module: {
      type: 'path',
      required: true,
      doc: 'TypeScript or JavaScript module; its default export is the function.',
    },
    timeout: {
      type: 'duration',
      doc: 'A record on which the function takes longer becomes a dead letter.',
      default: '1s',
    },
    outputs: {
      type: 'integer',
      min: 1,
      max: 10_000,
      doc: 'Most events that one record may become.',
      default: 1000,
    },
  },
};
