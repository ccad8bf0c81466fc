import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { freePort } from '../helpers/port.ts'
import type { Authority } from './certificates.ts'
import { startKafka } from './kafka.ts'
import { startSecureMongo } from './mongo.ts'
import { startRedis } from './redis.ts'

/** Who may come in, in every one of these servers. */
export const USER = 'sally'
export const SERVER_PASSWORD = 'se:cr@t'

/** Servers with TLS and authentication on. Each returns its address; they end with the test. */
export interface SecureServers {
  /** With user and password. */
  mongo(): Promise<string>
  /** With user and password. */
  redis(): Promise<string>
  /** The list of brokers; the user can log in by PLAIN and by SCRAM. */
  kafka(): Promise<string>
}

/** @param folder where certificates are put */
export function secureServers(t: Test, authority: Authority, folder: string): SecureServers {
  const login = `${USER}:${encodeURIComponent(SERVER_PASSWORD)}`
  return {
    async mongo() {
      const certificate = await authority.issue('mongo')
      const user = { user: USER, password: SERVER_PASSWORD }
      const server = await startSecureMongo({ ...certificate, caFile: authority.caFile, ...user })
      t.teardown(server.stop)
      return server.url
    },
    async redis() {
      const { certFile, keyFile } = await authority.issue('redis')
      const port = await freePort()
      const tls = ['--tls-port', String(port), '--tls-cert-file', certFile, '--tls-key-file', keyFile]
      const clients = ['--tls-ca-cert-file', authority.caFile, '--tls-auth-clients', 'no']
      const users = ['--user', USER, 'on', `>${SERVER_PASSWORD}`, '~*', '&*', '+@all', '--user', 'default', 'off']
      const server = await startRedis([...tls, ...clients, ...users])
      t.teardown(server.stop)
      return `rediss://${login}@localhost:${port}`
    },
    async kafka() {
      const { cert, key } = await authority.issue('kafka')
      const pemFile = join(folder, 'kafka-keystore.pem')
      writeFileSync(pemFile, `${key}${cert}`)
      const port = await freePort()
      const scram = ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => [
        '--add-scram',
        `${mechanism}=[name=${USER},password=${SERVER_PASSWORD}]`,
      ])
      const secure = { port, pemFile, user: USER, password: SERVER_PASSWORD }
      const server = await startKafka({ secure, format: scram })
      t.teardown(server.stop)
      return `localhost:${port}`
    },
  }
}
