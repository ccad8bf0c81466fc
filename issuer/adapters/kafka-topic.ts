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
      configNames: ['cleanup.policy', 'retention.ms'],
    }
    const { resources } = await admin.describeConfigs({ resources: [resource], includeSynonyms: false })
    const values = new Map(resources[0]?.configEntries.map(({ configName, configValue }) => [configName, configValue]))
    const retentionMs = Number(values.get('retention.ms'))
    if (values.get('cleanup.policy') !== 'delete') {
      log.warn({ topic }, 'the topic of revocations has to have cleanup.policy=delete: others lose revocations')
    }
    if (retentionMs !== -1 && retentionMs < 2 * lifetimeS * 1000) {
      log.warn({ topic, retentionMs }, 'retention.ms of the topic of revocations is below two access-token lifetimes')
    }
  } catch (err) {
    log.debug({ err, topic }, 'the settings of the topic of revocations cannot be read')
  }
}
