/** What other systems call the types, for hints. */
export const typeSynonyms: Readonly<Record<string, readonly string[]>> = {
  ...words('decimal numeric currency amount price cents', 'money', 'double'),
  ...words('number', 'double', 'long'),
  ...words('integer', 'int', 'long'),
  ...words('bigint int64', 'long'),
  ...words('smallint tinyint short int32', 'int'),
  ...words('float float64 float32 real', 'double'),
  ...words('bool', 'boolean'),
  ...words('varchar text str char', 'string'),
  ...words('datetime time timestamptz', 'timestamp'),
  ...words('day', 'date'),
  ...words('guid', 'uuid'),
};

function words(list: string, ...types: string[]): Record<string, string[]> {
  return Object.fromEntries(list.split(' ').map((word) => [word, types]));
}
