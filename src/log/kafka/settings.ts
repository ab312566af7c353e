/** What it takes to reach a Kafka cluster; crosses threads, so secrets are plain text in it: it is never printed nor stored. */
export type KafkaSettings = {
  /** `host:port`, tried in turn. */
  brokers: string[];
  /** Told to the brokers, and the prefix of our groups. */
  clientId: string;
  security: KafkaSecurity;
  topics: {
    partitions: number;
    replication: number;
    /** How long the brokers keep events, ms; null: for ever. */
    retentionMs: number | null;
  };
};

export type KafkaSecurity = {
  protocol: 'plaintext' | 'ssl' | 'sasl_plaintext' | 'sasl_ssl';
  sasl?: {mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'; username: string; password: string};
  /** PEM text; without `ca` the system's. */
  tls?: {ca?: string; cert?: string; key?: string};
};
