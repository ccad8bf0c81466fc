export interface KafkaOptions {
  /** How long a new consumer group waits for more members, in ms: 0, unless the broker's default is wanted. */
  rebalanceDelay?: number | 'default'
  /** One more listener, on a port of its own: TLS, and a login by PLAIN or SCRAM. */
  secure?: SecureListener
  /** Further arguments for formatting its folder, such as `--add-scram`. */
  format?: string[]
  /** Further lines of server.properties, such as `log.retention.ms`; they win over the ones here. */
  properties?: Record<string, string | number | boolean>
}

export interface SecureListener {
  port: number
  /** A PEM file with the key and the certificate. */
  pemFile: string
  /** Who can log in by PLAIN. (Those of SCRAM are a part of the format.) */
  user: string
  password: string
}

export interface KafkaPlace {
  /** The clients' port and the controller's. */
  ports: [number, ...number[]]
  data: string
  /** The address to listen on; clients are always sent to 127.0.0.1. */
  listen: string
}

/** The server.properties of one broker that is its own controller. */
export function serverProperties({ ports, data, listen }: KafkaPlace, options: KafkaOptions): string {
  const [broker, controller] = ports
  const secure = (host: string) => (options.secure ? `,SASL_SSL://${host}:${options.secure.port}` : '')
  const properties: Record<string, string | number | boolean> = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    listeners: `PLAINTEXT://${listen}:${broker},CONTROLLER://127.0.0.1:${controller}${secure(listen)}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${broker}${secure('localhost')}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': data,
    // A topic that is missing is a mistake to see, not one to be covered up.
    'auto.create.topics.enable': false,
    'num.partitions': 1,
    'offsets.topic.num.partitions': 1,
    'offsets.topic.replication.factor': 1,
    'transaction.state.log.num.partitions': 1,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    // Retention at work within seconds; by default the first look comes after 30 s, the next every 5 minutes.
    'log.retention.check.interval.ms': 1000,
    'log.initial.task.delay.ms': 1000,
    // After a kill the broker is let back in once its old registration ran out, by default 9 s.
    'broker.session.timeout.ms': 3000,
    'broker.heartbeat.interval.ms': 500,
    // A small broker: fewer threads, and 128 MB less of buffers for compaction.
    'num.network.threads': 2,
    'num.io.threads': 2,
    'background.threads': 2,
    'log.cleaner.dedupe.buffer.size': 4_194_304,
    ...(options.rebalanceDelay === 'default'
      ? {}
      : { 'group.initial.rebalance.delay.ms': options.rebalanceDelay ?? 0 }),
    ...(options.secure && secureProperties(options.secure)),
    ...options.properties,
  }
  return Object.entries(properties)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('')
}

function secureProperties({ pemFile, user, password }: SecureListener): Record<string, string> {
  const login = 'org.apache.kafka.common.security'
  const listener = 'listener.name.sasl_ssl'
  return {
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL',
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    [`${listener}.plain.sasl.jaas.config`]: `${login}.plain.PlainLoginModule required user_${user}="${password}";`,
    [`${listener}.scram-sha-256.sasl.jaas.config`]: `${login}.scram.ScramLoginModule required;`,
    [`${listener}.scram-sha-512.sasl.jaas.config`]: `${login}.scram.ScramLoginModule required;`,
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': pemFile,
  }
}
