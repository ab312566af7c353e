/**
 * The requests that we make, each in one version that brokers from Kafka 2.7 to the current one speak; a broker that does
 * not is told by name. Versions are below the flexible ones where those bring nothing that we use. Some have a newer version beside
 * them, which is used where the broker speaks it, or where it tells what is wanted.
 */
export type KafkaApi = {
  name: string;
  key: number;
  version: number;
  /** The version has tagged fields, also in the headers of request and answer. */
  flexible?: boolean;
};

export const apis = {
  produce: {name: 'Produce', key: 0, version: 8},
  fetch: {name: 'Fetch', key: 1, version: 12, flexible: true},
  /** From 3.1 on: names topics by their ids, so that a topic that was made anew does not answer for the one before. */
  fetchById: {name: 'Fetch', key: 1, version: 13, flexible: true},
  listOffsets: {name: 'ListOffsets', key: 2, version: 5},
  metadata: {name: 'Metadata', key: 3, version: 7},
  /** From 2.8 on: also tells the ids of topics. */
  metadataWithIds: {name: 'Metadata', key: 3, version: 10, flexible: true},
  /** Also tells what we may do with topics and the cluster. */
  metadataWithRights: {name: 'Metadata', key: 3, version: 8},
  offsetCommit: {name: 'OffsetCommit', key: 8, version: 7},
  offsetFetch: {name: 'OffsetFetch', key: 9, version: 5},
  findCoordinator: {name: 'FindCoordinator', key: 10, version: 2},
  joinGroup: {name: 'JoinGroup', key: 11, version: 5},
  heartbeat: {name: 'Heartbeat', key: 12, version: 3},
  leaveGroup: {name: 'LeaveGroup', key: 13, version: 3},
  syncGroup: {name: 'SyncGroup', key: 14, version: 3},
  describeGroups: {name: 'DescribeGroups', key: 15, version: 0},
  /** Also tells what we may do with them. */
  describeGroupsWithRights: {name: 'DescribeGroups', key: 15, version: 3},
  saslHandshake: {name: 'SaslHandshake', key: 17, version: 1},
  apiVersions: {name: 'ApiVersions', key: 18, version: 0},
  createTopics: {name: 'CreateTopics', key: 19, version: 4},
  deleteTopics: {name: 'DeleteTopics', key: 20, version: 3},
  initProducerId: {name: 'InitProducerId', key: 22, version: 1},
  describeConfigs: {name: 'DescribeConfigs', key: 32, version: 2},
  saslAuthenticate: {name: 'SaslAuthenticate', key: 36, version: 1},
} as const satisfies Record<string, KafkaApi>;
