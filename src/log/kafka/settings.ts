/** What it takes to reach a Kafka cluster; crosses threads, so secrets are plain text in it: it is never printed nor stored. */
export type KafkaSettings = {
  /** `host:port`, tried in turn. */
  brokers: string[];
  /** Told to the brokers, and the prefix of our groups. */
  clientId: string;
  security: KafkaSecurity;
  topics: {
    partitions: number;
    /** 0: as many as there are brokers, at most three. */
    replication: number;
    /** How long the brokers keep events, ms; null: for ever. */
    retentionMs: number | null;
  };
  /** What is not given is as in `clientDefaults`. */
  client?: Partial<KafkaClientSettings>;
};

/** Times in ms. */
export type KafkaClientSettings = {
  /** A broker that does not answer for so long is taken for lost. */
  requestMs: number;
  connectMs: number;
  /** Topics and partitions are looked at so often. */
  metadataMs: number;
  /** How long a broker holds a request when nothing is appended. */
  pollMs: number;
  /** What a request asks for of one partition, bytes. */
  fetchBytesMax: number;
};

export const clientDefaults: KafkaClientSettings = {
  requestMs: 30_000,
  connectMs: 5_000,
  metadataMs: 30_000,
  pollMs: 500,
  fetchBytesMax: 2_097_152,
};

export type KafkaSecurity = {
  protocol: 'plaintext' | 'ssl' | 'sasl_plaintext' | 'sasl_ssl';
  sasl?: {mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'; username: string; password: string};
  /** PEM text; without `ca` the system's. */
  tls?: {ca?: string; cert?: string; key?: string};
};
