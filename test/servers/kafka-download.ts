import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { installDebian } from './apt.ts'
import { cached } from './cache.ts'
import { onPath, run, runFetching } from './command.ts'
import { serverProperties } from './kafka-properties.ts'
import type { Source } from './sources.ts'

const version = '4.1.1'

// Client compiler only and the simple collector: half the time to start, and no thread per core for either.
const jvm = [
  '-Xmx384m',
  '-XX:TieredStopAtLevel=1',
  '-XX:+UseSerialGC',
  '-Djava.awt.headless=true',
  '-Dlog4j2.level=WARN',
]

// Without a binding of slf4j the broker's warnings would go nowhere.
const pom = `<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>sallyport</groupId>
  <artifactId>test-kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${version}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.24.3</version></dependency>
  </dependencies>
</project>
`

/** Fetches Kafka with Maven into the cache, together with a data folder formatted for `clusterId`. */
export async function fetchKafka(clusterId: string): Promise<Source> {
  if (!(await hasJava17())) await installDebian(['openjdk-17-jre-headless'])
  const folder = await cached(`kafka-${version}`, `Apache Kafka ${version} (43 MB)`, async (folder) => {
    if (onPath('mvn') === undefined) await installDebian(['maven'])
    writeFileSync(join(folder, 'pom.xml'), pom)
    const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', '-DoutputDirectory=lib']
    await runFetching('mvn', ['-q', '-B', ...goal], { cwd: folder })
    await format(folder, clusterId)
  })
  return { kind: 'program', file: 'java', args: [...jvm, '-cp', join(folder, 'lib', '*'), 'kafka.Kafka'] }
}

/** The formatted data folder that came with the download; formatting takes as long as half a start. */
export function formattedFolder(source: Source & { kind: 'program' }): string | undefined {
  const classPath = source.args[source.args.indexOf('-cp') + 1]
  return source.file === 'java' && classPath !== undefined ? join(dirname(dirname(classPath)), 'formatted') : undefined
}

/** The arguments with which the downloaded Kafka runs its storage tool. */
export function storageTool(source: Source & { kind: 'program' }): string[] {
  return [...source.args.slice(0, -1), 'kafka.tools.StorageTool']
}

async function format(folder: string, clusterId: string): Promise<void> {
  const data = join(folder, 'formatted')
  const file = join(folder, 'format.properties')
  mkdirSync(data)
  // With a static quorum the ports are not part of what is written.
  writeFileSync(file, serverProperties({ ports: [1, 2], data, listen: '127.0.0.1' }, {}))
  const tool = ['-cp', join(folder, 'lib', '*'), 'kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', file]
  await run('java', [...jvm, ...tool])
  rmSync(file)
}

async function hasJava17(): Promise<boolean> {
  try {
    const version = /version "(\d+)/.exec(await run('java', ['-version']))
    return Number(version?.[1]) >= 17
  } catch {
    return false
  }
}
