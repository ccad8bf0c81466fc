import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SigningKeyPair } from '../../shared/jws.ts'
import { envoy } from '../../test/servers/envoy.ts'
import { haproxy } from '../../test/servers/haproxy.ts'
import { type ReverseProxy, startReverseProxy } from '../../test/servers/reverse-proxy.ts'
import { envoyConfiguration } from '../peers/envoy.ts'
import { haproxyConfiguration, type PeerTask } from '../peers/haproxy.ts'
import { type Bench, type Party, untilReady } from '../processes.ts'
import { recordLogouts } from '../recorded-logouts.ts'
import { say } from '../report.ts'
import { type BenchKey, createKey, signToken } from './tokens.ts'

export const ISSUER = 'http://issuer.example'
export const AUDIENCE = 'sallyport'
/** What a team would have without any of the others. */
export const PLAIN = '@fastify/http-proxy, no checks'
/** As many as the sidecar keeps by default. */
const CACHE_SIZE = 10_000
/** Longer than the benchmark takes: seconds. */
const REVOKED_FOR_S = 3600

/** One row of the report: what is asked, and with which tokens. */
export interface Target {
  name: string
  group: 'none' | 'plain' | 'sidecar' | 'peer'
  url: string
  /** The process whose cost is asked for. */
  pid: number
  /** Where its metrics are, if it is a sidecar. */
  adminUrl?: string
  /** Of the tokens it verifies; none: it lets everything in. */
  key: SigningKeyPair | undefined
  tokensFile: string
  /** Ends the process in good order, if it is a sidecar. */
  end?: () => Promise<void>
}

/** Sidecars and what they need. */
export interface Sidecars {
  targets: Target[]
  upstream: Party
  issuers: Party[]
}

export interface Parties extends Sidecars {
  /** Peers that can't be had here. */
  missing: string[]
}

export interface Sizes {
  /** Sessions that are revoked in every sidecar. */
  revoked: number
  /** Tokens in turn, unless a row says otherwise. */
  tokens: number
  /** The most there are. */
  manyTokens: number
}

/** Starts everybody; nobody is measured yet. */
export async function startParties(bench: Bench, sizes: Sizes, nodeArgs: string[]): Promise<Parties> {
  const keys = { es256: createKey('ES256'), rs256: createKey('RS256') }
  const files = writeTokens(bench, keys, sizes)
  const sidecars = await startSidecars(bench, { keys, files, sizes, nodeArgs })
  const { upstream } = sidecars
  const plain = await bench.program('plain-proxy', { UPSTREAM: upstream.url })
  const peers = await startPeers(bench, { service: new URL(upstream.url).host, keys, files })
  const open = (name: string, group: Target['group'], { url, pid }: Party): Target => {
    return { name, group, url, pid, key: undefined, tokensFile: files.es256 }
  }
  return {
    ...sidecars,
    missing: peers.missing,
    targets: [open('direct', 'none', upstream), open(PLAIN, 'plain', plain), ...sidecars.targets, ...peers.targets],
  }
}

/** Starts the sidecars alone. */
export function startSidecarsAlone(bench: Bench, sizes: Sizes, nodeArgs: string[]): Promise<Sidecars> {
  const keys = { es256: createKey('ES256'), rs256: createKey('RS256') }
  return startSidecars(bench, { keys, files: writeTokens(bench, keys, sizes), sizes, nodeArgs })
}

interface Keys {
  es256: BenchKey
  rs256: BenchKey
}

type TokenFiles = ReturnType<typeof writeTokens>

interface SidecarsTask {
  keys: Keys
  files: TokenFiles
  sizes: Sizes
  nodeArgs: string[]
}

async function startSidecars(bench: Bench, { keys, files, sizes, nodeArgs }: SidecarsTask): Promise<Sidecars> {
  const { es256, rs256 } = keys
  const upstream = await bench.program('upstream')
  const feedToken = randomBytes(32).toString('hex')
  const esIssuer = await startIssuer(bench, es256, feedToken, sizes)
  const rsIssuer = await startIssuer(bench, rs256, feedToken, sizes)
  const cache = bench.folder()
  const sidecar = (from: Party, cacheSize = CACHE_SIZE) =>
    startSidecar(bench, { from, cacheSize, feedToken, upstream, cache, nodeArgs })
  // Its compile cache is written when it ends; a sidecar of the image finds it warm, and takes less memory for it.
  await (await sidecar(esIssuer)).process.kill('SIGTERM')
  const [warm, cold] = [await sidecar(esIssuer), await sidecar(esIssuer, 0)]
  const [warmRs, coldRs] = [await sidecar(rsIssuer), await sidecar(rsIssuer, 0)]
  const row = (name: string, party: Party, key: BenchKey, tokensFile: string): Target => {
    const { url, pid, adminUrl } = party
    const end = () => party.process.kill('SIGTERM')
    return { name: `sidecar, ${name}`, group: 'sidecar', url, pid, adminUrl, key: key.pair, tokensFile, end }
  }
  return {
    upstream,
    issuers: [esIssuer, rsIssuer],
    targets: [
      row('RS256', warmRs, rs256, files.rs256),
      row('ES256', warm, es256, files.es256),
      row('ES256, 1 token', warm, es256, files.one),
      row('ES256, 100 tokens', warm, es256, files.hundred),
      row(`ES256, ${sizes.manyTokens.toLocaleString('en')} tokens`, warm, es256, files.many),
      row('RS256, no cache', coldRs, rs256, files.rs256),
      row('ES256, no cache', cold, es256, files.es256),
    ],
  }
}

function writeTokens(bench: Bench, { es256, rs256 }: Keys, { tokens, manyTokens }: Sizes) {
  const folder = bench.folder()
  const write = (name: string, { pair }: BenchKey, count: number) => {
    const path = join(folder, `${name}.json`)
    const signed = Array.from({ length: count }, () => signToken(pair, ISSUER, AUDIENCE))
    writeFileSync(path, JSON.stringify(signed), { mode: 0o600 })
    return path
  }
  return {
    rs256: write('rs256', rs256, tokens),
    es256: write('es256', es256, tokens),
    one: write('one', es256, 1),
    hundred: write('hundred', es256, 100),
    many: write('many', es256, manyTokens),
  }
}

async function startIssuer(bench: Bench, { pem }: BenchKey, feedToken: string, { revoked }: Sizes): Promise<Party> {
  const folder = bench.folder()
  await recordLogouts(folder, revoked, REVOKED_FOR_S)
  const env = { ISSUER_URL: ISSUER, ISSUER_PORT: '0', DATA_DIR: folder, SIGNING_KEY: pem, FEED_TOKEN: feedToken }
  const party = await bench.role('issuer', env)
  await untilReady(party)
  return party
}

interface SidecarTask {
  from: Party
  cacheSize: number
  feedToken: string
  upstream: Party
  /** The folder of the compile cache. */
  cache: string
  nodeArgs: string[]
}

async function startSidecar(bench: Bench, task: SidecarTask): Promise<Party> {
  const env = {
    ISSUER_URL: ISSUER,
    ISSUER_INTERNAL_URL: task.from.url,
    FEED_TOKEN: task.feedToken,
    SIDECAR_PORT: '0',
    SIDECAR_ADMIN_PORT: '0',
    DATA_DIR: bench.folder(),
    NODE_COMPILE_CACHE: task.cache,
    UPSTREAM: task.upstream.url,
    TOKEN_CACHE_SIZE: String(task.cacheSize),
  }
  const party = await bench.role('sidecar', env, task.nodeArgs)
  await untilReady(party)
  return party
}

interface PeersTask {
  /** `host:port`. */
  service: string
  keys: Keys
  files: TokenFiles
}

/** One that can't be had is left out by name. */
async function startPeers(bench: Bench, { service, keys, files }: PeersTask) {
  const targets: Target[] = []
  const missing = new Map<string, string>()
  const folder = bench.folder()
  const start = async (proxy: ReverseProxy, name: string, key: BenchKey, configure: (task: PeerTask) => string) => {
    if (missing.has(proxy.name)) return
    try {
      const task = { service, issuer: ISSUER, audience: AUDIENCE, key: key.pair }
      const server = await startReverseProxy(proxy, (port) => configure({ ...task, port }))
      bench.onEnd(server.stop)
      const tokensFile = key === keys.es256 ? files.es256 : files.rs256
      targets.push({ name, group: 'peer', url: server.url, pid: server.pid, key: key.pair, tokensFile })
    } catch (error) {
      missing.set(proxy.name, (error as Error).message)
      say(`${proxy.name} is left out: ${(error as Error).message}`)
    }
  }
  for (const key of [keys.rs256, keys.es256]) {
    const { alg, key: publicKey } = key.pair
    const keyFile = join(folder, `${alg}.pem`)
    writeFileSync(keyFile, publicKey.export({ type: 'spki', format: 'pem' }))
    await start(haproxy, `HAProxy, ${alg}`, key, (task) => haproxyConfiguration(task, keyFile))
    await start(envoy, `Envoy, ${alg}, cache`, key, (task) => envoyConfiguration(task, CACHE_SIZE))
    await start(envoy, `Envoy, ${alg}, no cache`, key, (task) => envoyConfiguration(task, 0))
  }
  return { targets, missing: [...missing.keys()] }
}
