import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { onPath, run } from './command.ts'
import { dockerRun, removeVolume } from './docker.ts'
import { fetchKafka, formattedFolder, storageTool } from './kafka-download.ts'
import { probeKafka } from './kafka-probe.ts'
import { type KafkaOptions, serverProperties } from './kafka-properties.ts'
import type { Command } from './program.ts'
import { type Place, type Server, startServer } from './server.ts'
import { findSource, type Source } from './sources.ts'

const clusterId = 'c2FsbHlwb3J0LXRlc3RzMQ'

/** Where Apache Kafka comes from on this machine; fetches it if need be. Throws ServerUnavailable. */
export const findKafka = (): Promise<Source> =>
  findSource({
    kind: 'kafka',
    name: 'Apache Kafka',
    variable: 'TEST_KAFKA_BROKERS',
    image: 'apache/kafka:4.1.1',
    installed: () => {
      const file = startScript()
      return file === undefined
        ? undefined
        : { kind: 'program', file, args: [], env: { EXTRA_ARGS: '', KAFKA_HEAP_OPTS: '-Xmx384m' } }
    },
    hint: 'kafka-server-start.sh',
    fetch: () => fetchKafka(clusterId),
  })

const startScript = (): string | undefined => onPath('kafka-server-start.sh') ?? onPath('kafka-server-start')
const storageScript = (): string => onPath('kafka-storage.sh') ?? onPath('kafka-storage') ?? 'kafka-storage.sh'

/** Starts an Apache Kafka of the caller's own: one node, KRaft; its `url` is the list of brokers for a client. */
export async function startKafka(options: KafkaOptions = {}): Promise<Server> {
  const source = await findKafka()
  return startServer({
    name: 'Kafka',
    ports: 2,
    url: (port) => `127.0.0.1:${port}`,
    prepare: (place) => prepare(source, place, options),
    command: (place) => command(source, place),
    answers: probeKafka,
    discard: source.kind === 'docker' ? removeVolume : undefined,
  })
}

const configFolder = (place: Place): string => join(place.data, '..', 'config')
const propertiesFile = (place: Place): string => join(configFolder(place), 'server.properties')

async function prepare(source: Source, place: Place, options: KafkaOptions): Promise<void> {
  mkdirSync(configFolder(place))
  const inside = source.kind === 'docker' ? { listen: '0.0.0.0', data: '/var/lib/kafka/data' } : {}
  writeFileSync(propertiesFile(place), serverProperties({ ...place, listen: '127.0.0.1', ...inside }, options))
  // The image formats its folder itself.
  if (source.kind === 'docker') return
  const formatted = formattedFolder(source)
  const format = ['format', '-t', clusterId, '-c', propertiesFile(place), ...(options.format ?? [])]
  if (formatted === undefined) await run(storageScript(), format)
  else if (options.format === undefined) cpSync(formatted, place.data, { recursive: true })
  else await run('java', [...storageTool(source), ...format])
}

function command(source: Source, place: Place): Command {
  if (source.kind === 'program') {
    const env = { ...source.env, LOG_DIR: join(place.data, '..', 'logs') }
    return { file: source.file, args: [...source.args, propertiesFile(place)], env }
  }
  const mounts = [`${configFolder(place)}:/mnt/shared/config:ro`]
  return dockerRun({ image: source.image, place, port: place.ports[0], data: '/var/lib/kafka/data', mounts, args: [] })
}
