// Types of the events of the domain shop, made from its configuration: npx millrace export types shop
// Do not edit: it is written again when the platform starts in development.

/** An event as a transform gets it. Keys that are no field of the event type are what the record says beside them. */
export type Given = {
  line: {
    event_id: string;
    /** epoch milliseconds */
    timestamp: number;
    basket_id: string | null;
    product_id: string | null;
    country: string | null;
    region: string | null;
    /** money, as "12.34" */
    price: string | null;
    /** a bigint beyond 2^53 */
    quantity: number | bigint | null;
    [other: string]: unknown;
  };
};

/** An event as a transform returns it. Of a required field the key must be there; NULL makes the record a dead letter. */
export type Returned = {
  line: {
    /** Not looked at: the id of an event is made of that of the record. */
    event_id?: unknown;
    /** Without it: that of the record. */
    timestamp?: number | string | Date | null;
    basket_id?: string | null | undefined;
    product_id?: string | null | undefined;
    country?: string | null | undefined;
    region?: string | null | undefined;
    /** money, as "12.34" */
    price: number | string | null;
    /** a bigint beyond 2^53 */
    quantity: number | bigint | string | null;
  };
};

/** Made by `reject`. */
export type Rejection = {readonly rejected: unique symbol};

export type Tools = {
  /** Refuses the record: return what it gives. The dead letter has the code `REJECTED:<code>`. */
  reject(code: Uppercase<string>, message?: string): Rejection;
};

/** One event, several, or none. */
export type Result<E> = E | readonly E[] | Rejection | null | undefined;

/** The default export of the transform of an event type. */
export type Transform<Name extends keyof Given & keyof Returned> = (
  event: Given[Name],
  tools: Tools,
) => Result<Returned[Name]> | Promise<Result<Returned[Name]>>;
