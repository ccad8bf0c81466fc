import kafkajs, { type Admin } from 'kafkajs'
import { type KafkaAddress, topicConfig } from '../../shared/kafka.ts'
import type { Log } from '../../shared/log.ts'

/** The topic of revocations, and how long an access token lives: seconds. */
export type RevocationTopic = KafkaAddress & { lifetimeS: number }

const REPLICAS = 3

/**
 * Creates the topic unless it is there: with one partition, for one total order. Where it exists nothing has to be
 * allowed but to describe it; settings under which it would forget revocations too early are reported.
 * @throws when it is missing and may not be created
 */
export async function ensureTopic(admin: Admin, { topic, lifetimeS }: RevocationTopic, log: Log): Promise<void> {
  if (await exists(admin, topic)) return warnOfSettings(admin, topic, lifetimeS, log)
  const { brokers } = await admin.describeCluster()
  const replicationFactor = Math.min(REPLICAS, brokers.length)
  const configEntries = topicConfig(lifetimeS, replicationFactor)
  const created = await admin.createTopics({ topics: [{ topic, numPartitions: 1, replicationFactor, configEntries }] })
  if (created) log.info({ topic, replicationFactor }, 'the topic of revocations was created')
}

/** How many partitions the topic has. */
export async function countPartitions(admin: Admin, topic: string): Promise<number> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
  return topics[0]?.partitions.length ?? 0
}

/** Nobody has written for this long: no issuer was there, or not with Kafka. Heartbeats come each second. Milliseconds. */
const SILENT_MS = 30_000
/** How much longer than a token a revocation can matter: milliseconds. */
const BEYOND_LIFETIME_MS = 60_000

/**
 * Whether revocations that matter may be missing in the log although they count as published: it does not reach back
 * far enough, for it is new or was lost, or it was left alone while the issuers had another feed.
 */
export async function mayLackEvents(admin: Admin, { topic, lifetimeS }: RevocationTopic): Promise<boolean> {
  const now = Date.now()
  const offsets = await admin.fetchTopicOffsets(topic)
  const firstAfter = async (ms: number) => {
    const found = await admin.fetchTopicOffsetsByTimestamp(topic, ms)
    return new Map(found.map(({ partition, offset }) => [partition, BigInt(offset)]))
  }
  const relevant = await firstAfter(now - lifetimeS * 1000 - BEYOND_LIFETIME_MS)
  const recent = await firstAfter(now - SILENT_MS)
  return offsets.some(
    ({ partition, low, high }) =>
      (relevant.get(partition) ?? 0n) <= BigInt(low) || (recent.get(partition) ?? BigInt(high)) >= BigInt(high),
  )
}

async function exists(admin: Admin, topic: string): Promise<boolean> {
  try {
    return (await countPartitions(admin, topic)) > 0
  } catch (error) {
    if ((error as { type?: string }).type === 'UNKNOWN_TOPIC_OR_PARTITION') return false
    throw error
  }
}

async function warnOfSettings(admin: Admin, topic: string, lifetimeS: number, log: Log): Promise<void> {
  try {
    const resource = {
      type: kafkajs.ConfigResourceTypes.TOPIC,
      name: topic,
      configNames: ['cleanup.policy', 'retention.ms', 'compression.type'],
    }
    const { resources } = await admin.describeConfigs({ resources: [resource], includeSynonyms: false })
    const values = new Map(resources[0]?.configEntries.map(({ configName, configValue }) => [configName, configValue]))
    const retentionMs = Number(values.get('retention.ms'))
    if (values.get('cleanup.policy') !== 'delete') {
      log.warn({ topic }, 'the topic of revocations has to have cleanup.policy=delete: others lose revocations')
    }
    if (values.get('compression.type') !== 'uncompressed') {
      log.warn(
        { topic },
        'the topic of revocations ought to have compression.type=uncompressed: others let any writer stop its readers',
      )
    }
    if (retentionMs !== -1 && retentionMs < 2 * lifetimeS * 1000) {
      log.warn({ topic, retentionMs }, 'retention.ms of the topic of revocations is below two access-token lifetimes')
    }
  } catch (err) {
    log.debug({ err, topic }, 'the settings of the topic of revocations cannot be read')
  }
}
