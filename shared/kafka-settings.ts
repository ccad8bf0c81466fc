import { certificates, flag, list, oneOf, optional, row, type SettingValues, text } from './settings.ts'

/** How brokers are spoken to; by default in clear and without a name. */
export interface KafkaSecurity {
  /** @property ca PEM of a certificate authority of one's own */
  tls?: { ca?: string }
  sasl?: { mechanism: SaslMechanism; username: string; password: string }
}

export const SASL_MECHANISMS = ['plain', 'scram-sha-256', 'scram-sha-512'] as const
export type SaslMechanism = (typeof SASL_MECHANISMS)[number]

/** Where the feed is and how to speak to the brokers, the same for everyone who does. */
export const KAFKA_SETTINGS = {
  KAFKA_BROKERS: row(
    optional(list(text)),
    undefined,
    'the revocation feed on Kafka: brokers of one cluster, host:port each',
    {
      same: 'everywhere',
    },
  ),
  KAFKA_TOPIC: row(text, 'sallyport.revocations', 'the topic of the feed', { same: 'everywhere' }),
  KAFKA_TLS: row(flag, false, 'whether brokers are spoken to over TLS'),
  KAFKA_CA: row(
    optional(certificates),
    undefined,
    'certificate authorities to trust for KAFKA_TLS instead of the usual ones',
  ),
  KAFKA_SASL_MECHANISM: row(optional(oneOf(...SASL_MECHANISMS)), undefined, 'how to log in to the brokers; none: not'),
  KAFKA_SASL_USERNAME: row(optional(text), undefined, 'who logs in to the brokers'),
  KAFKA_SASL_PASSWORD: row(optional(text), undefined, 'the password for the brokers', { secret: true }),
}

type Values = Omit<SettingValues<typeof KAFKA_SETTINGS>, 'KAFKA_BROKERS' | 'KAFKA_TOPIC'>

/** What the settings say of the way to the brokers. */
export function kafkaSecurity(values: Values): KafkaSecurity {
  const { KAFKA_TLS, KAFKA_CA: ca, KAFKA_SASL_MECHANISM: mechanism } = values
  const { KAFKA_SASL_USERNAME: username = '', KAFKA_SASL_PASSWORD: password = '' } = values
  return {
    ...(KAFKA_TLS && { tls: ca === undefined ? {} : { ca } }),
    ...(mechanism && { sasl: { mechanism, username, password } }),
  }
}

/** What does not fit together, a line each. */
export function kafkaConflicts(values: Values): string[] {
  const { KAFKA_TLS, KAFKA_CA, KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD } = values
  const problems: string[] = []
  if (KAFKA_CA && !KAFKA_TLS) problems.push('KAFKA_CA: has a meaning only with KAFKA_TLS=on')
  const given = [KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD]
  if (new Set(given.map((value) => value === undefined)).size > 1) {
    problems.push('KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD: belong together')
  }
  if (KAFKA_SASL_MECHANISM === 'plain' && !KAFKA_TLS) {
    problems.push('KAFKA_SASL_MECHANISM: plain needs KAFKA_TLS=on, for it sends the password as it is')
  }
  return problems
}
