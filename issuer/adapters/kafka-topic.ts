import kafkajs, { type Admin } from 'kafkajs'
import { type KafkaAddress, topicConfig, topicRetentionMs } from '../../shared/kafka.ts'
import type { Log } from '../../shared/log.ts'
import { revocationExpiry } from '../../shared/revocation.ts'
import { RECORD_DEADLINE_MS } from '../domain/issuer-report.ts'

/** The topic of revocations, and the longest that any issuer's access tokens live, asked each time: seconds. */
export type RevocationTopic = KafkaAddress & { longestLifetimeS(): number }

const { ConfigResourceTypes } = kafkajs

const REPLICAS = 3
/** Of DescribeConfigs: set for this topic alone, no default. */
const SET_FOR_TOPIC = 1

/**
 * Creates the topic unless it is there: with one partition, for one total order. Where it exists nothing has to be
 * allowed but to describe it: settings that others ought to change are reported, and only a retention under which it
 * would forget revocations that are needed is raised.
 * @param lifetimeS the longest that access tokens live: seconds
 * @throws when it is missing and may not be created, or forgets too early and may not be altered
 */
export async function ensureTopic(admin: Admin, topic: string, lifetimeS: number, log: Log): Promise<void> {
  if (await exists(admin, topic)) return checkSettings(admin, topic, lifetimeS, log)
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
export async function mayLackEvents(admin: Admin, topic: string, lifetimeS: number): Promise<boolean> {
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

async function checkSettings(admin: Admin, topic: string, lifetimeS: number, log: Log): Promise<void> {
  const settings = await readSettings(admin, topic).catch((err) => {
    log.debug({ err, topic }, 'the settings of the topic of revocations cannot be read')
  })
  if (!settings) return
  if (settings.get('cleanup.policy') !== 'delete') {
    log.warn({ topic }, 'the topic of revocations has to have cleanup.policy=delete: others lose revocations')
  }
  if (settings.get('compression.type') !== 'uncompressed') {
    log.warn(
      { topic },
      'the topic of revocations ought to have compression.type=uncompressed: others let any writer stop its readers',
    )
  }
  const retentionMs = Number(settings.get('retention.ms'))
  if (retentionMs === -1) return
  if (retentionMs < neededMs(lifetimeS)) return raiseRetention(admin, topic, lifetimeS, log)
  if (retentionMs < 2 * lifetimeS * 1000) {
    log.warn({ topic, retentionMs }, 'retention.ms of the topic of revocations is below two access-token lifetimes')
  }
}

/** How long a revocation can matter after it was recorded, and so published: milliseconds. */
function neededMs(lifetimeS: number): number {
  return revocationExpiry(RECORD_DEADLINE_MS, lifetimeS) * 1000
}

/**
 * What else was set for the topic is set again with it: the request that kafkajs has replaces all.
 * @throws when it may not be altered: a log that forgets what is still needed must not be said to be complete
 */
async function raiseRetention(admin: Admin, topic: string, lifetimeS: number, log: Log): Promise<void> {
  const retentionMs = topicRetentionMs(lifetimeS)
  try {
    const own = (await describe(admin, topic)).filter(
      ({ configName, configSource, isSensitive }) =>
        configSource === SET_FOR_TOPIC && !isSensitive && configName !== 'retention.ms',
    )
    const configEntries = [
      ...own.map(({ configName: name, configValue: value }) => ({ name, value })),
      { name: 'retention.ms', value: String(retentionMs) },
    ]
    await admin.alterConfigs({
      validateOnly: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }],
    })
    log.warn(
      { topic, retentionMs },
      'retention.ms of the topic of revocations was below what tokens live; it is raised',
    )
  } catch (cause) {
    throw new Error(`retention.ms of ${topic} is below what tokens live and cannot be raised to ${retentionMs}`, {
      cause,
    })
  }
}

async function readSettings(admin: Admin, topic: string): Promise<Map<string, string>> {
  const names = ['cleanup.policy', 'retention.ms', 'compression.type']
  return new Map((await describe(admin, topic, names)).map(({ configName, configValue }) => [configName, configValue]))
}

async function describe(admin: Admin, topic: string, configNames?: string[]) {
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic, ...(configNames && { configNames }) }
  const { resources } = await admin.describeConfigs({ resources: [resource], includeSynonyms: false })
  return resources[0]?.configEntries ?? []
}
