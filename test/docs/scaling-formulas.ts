// What docs/scaling.md computes: from what was measured (UNITS) and what is assumed (LOAD). The tables are made in
// scaling-tables.ts.

/** What is assumed of the load; each can be given on the command line by its name. */
export const LOAD = {
  /** Of all users, how many are using the system in the busiest minutes. */
  activeShare: 0.1,
  loginsADay: 0.1,
  logoutsADay: 0.1,
  /** The busiest minutes against the average of the day. */
  peak: 3,
  /** Live sessions a user. */
  sessions: 1.5,
  /** ACCESS_TOKEN_TTL, HEARTBEAT_INTERVAL: seconds. REFRESH_TOKEN_TTL: days. */
  tokenS: 300,
  heartbeatS: 1,
  sessionDays: 28,
  /** How busy a core may be. */
  busy: 0.5,
  /** Sidecars that read the stream of one relay. */
  readers: 500,
  podsANode: 30,
  /** Cores of a broker, and how long a sidecar may know nothing (MAX_STALENESS): seconds. */
  brokerCores: 4,
  stalenessS: 60,
  /** Network of one issuer or relay: Mbit/s. */
  linkMbit: 1000,
}

/** What was measured; docs/scaling.md says how. */
export const UNITS = {
  // A sidecar.
  sidecarMB: 95,
  programMB: 56,
  sidecarIdleMs: 4.5,
  listB: 34.4,
  verifyUs: 50,
  kafkaEventUs: 170,
  kafkaConnections: 3,
  heartbeatB: 956,
  eventB: 990,
  // A broker.
  brokerEventUs: 36,
  // An issuer.
  refreshMs: 0.2,
  loginMs: 6.4,
  relayMs: 14,
  relayRevocationMs: 0.18,
  readerUs: 18,
  readerEventUs: 2.2,
  readerKB: 120,
  relayMB: 200,
  streamHeartbeatB: 700,
  streamEventB: 900,
  snapshotEntryB: 126,
  snapshotEntryUs: 7,
  snapshotSendUs: 0.05,
  // The code: seconds a revocation is live beyond the token; how far back, and how often, a relay reads the ledger.
  liveBeyondS: 40,
  tailS: 13,
  tailsAS: 5,
  // Redis.
  redisRefreshUs: 47,
  redisOpsARefresh: 3,
  firstSessionB: 1525,
  furtherSessionB: 1292,
  firstCompactB: 861,
  furtherCompactB: 682,
  // MongoDB.
  userB: 454,
  userIndexB: 382,
  ledgerB: 259,
  ledgerIndexB: 93,
}

export interface Case {
  users: number
  sidecars: number
}

export const CASES: Case[] = [
  { users: 1e6, sidecars: 100 },
  { users: 1e7, sidecars: 1000 },
  { users: 1e8, sidecars: 10_000 },
]

const DAY_S = 86_400
const ISSUERS_AT_LEAST = 3

/** Every formula of the page. */
export function compute({ users, sidecars }: Case, load = LOAD, units = UNITS) {
  const perDay = (count: number) => (users * count * load.peak) / DAY_S
  const refreshes = (users * load.activeShare) / load.tokenS
  const logins = perDay(load.loginsADay)
  const logouts = perDay(load.logoutsADay)
  const live = logouts * (load.tokenS + units.liveBeyondS)
  const refreshCores = (refreshes * units.refreshMs) / 1000
  const loginCores = (logins * units.loginMs) / 1000
  const issuers = Math.max(ISSUERS_AT_LEAST, Math.ceil((refreshCores + loginCores) / load.busy))
  const heartbeats = issuers / load.heartbeatS
  const events = heartbeats + logouts
  const kafkaBytes = heartbeats * units.heartbeatB + logouts * units.eventB
  const further = Math.max(0, load.sessions - 1)
  const ledgerEntries = users * load.logoutsADay * load.sessionDays
  const relays = Math.ceil(sidecars / load.readers) + 1
  const readers = sidecars / (relays - 1)
  const streamBytes = units.streamHeartbeatB / load.heartbeatS + logouts * units.streamEventB
  const snapshotB = live * units.snapshotEntryB
  const readS = (live * units.snapshotEntryUs) / 1e6
  const sendS = (live * units.snapshotSendUs) / 1e6
  const networkS = snapshotB / (load.linkMbit * 125_000)
  /** What snapshots for so many at once take of one process: seconds. */
  const storm = (asking: number) => ({ workS: readS + asking * sendS, networkS: asking * networkS })
  return {
    sidecars,
    refreshes,
    logins,
    logouts,
    live,
    refreshCores,
    loginCores,
    issuers,
    redis: {
      sessions: users * load.sessions,
      bytes: users * (units.firstSessionB + further * units.furtherSessionB),
      compactBytes: users * (units.firstCompactB + further * units.furtherCompactB),
      ops: refreshes * units.redisOpsARefresh,
      cores: (refreshes * units.redisRefreshUs) / 1e6,
    },
    mongo: {
      userBytes: users * units.userB,
      userIndexBytes: users * units.userIndexB,
      ledgerEntries,
      ledgerBytes: ledgerEntries * (units.ledgerB + units.ledgerIndexB),
      reads: 2 * refreshes,
      writes: logins + 2 * logouts + heartbeats,
    },
    sidecar: {
      listBytes: live * units.listB,
      heartbeatMs: (heartbeats * units.verifyUs) / 1000,
      kafkaMs: (events * units.kafkaEventUs) / 1000,
    },
    kafka: {
      connections: sidecars * units.kafkaConnections,
      bytesEach: kafkaBytes,
      bytes: sidecars * kafkaBytes,
      events: sidecars * events,
      brokerCores: (sidecars * events * units.brokerEventUs) / 1e6,
      sidecarsABroker: (load.brokerCores * load.busy * 1e6) / (events * units.brokerEventUs),
      logBytes: 4 * load.tokenS * kafkaBytes,
    },
    relays: {
      count: relays,
      readers,
      cpuMs:
        units.relayMs +
        logouts * units.relayRevocationMs +
        (readers * (units.readerUs / load.heartbeatS + logouts * units.readerEventUs)) / 1000,
      MB: units.relayMB + (readers * units.readerKB) / 1000,
      bytes: readers * streamBytes,
      documents: relays * units.tailsAS * units.tailS * logouts,
      beats: relays * units.tailsAS,
    },
    storm: {
      bytes: sidecars * snapshotB,
      documents: issuers * live,
      issuer: storm(sidecars / issuers),
      sidecarsInTime: issuers * Math.min(load.stalenessS / networkS, Math.max(0, load.stalenessS - readS) / sendS),
      relay: storm(sidecars / relays),
      oneRelay: storm(readers / Math.max(1, relays - 1)),
    },
    pods: {
      MB: sidecars * units.sidecarMB,
      privateMB:
        sidecars * (units.sidecarMB - units.programMB) + Math.ceil(sidecars / load.podsANode) * units.programMB,
      cores: (sidecars * units.sidecarIdleMs) / 1000,
      nodes: Math.ceil(sidecars / load.podsANode),
      nodeMB: Math.ceil(sidecars / load.podsANode) * units.sidecarMB,
      nodeCores: (Math.ceil(sidecars / load.podsANode) * units.sidecarIdleMs) / 1000,
    },
  }
}
