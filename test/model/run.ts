import { StoreUnavailable } from '../../issuer/domain/ports.ts'
import { LEEWAY_S } from '../../shared/clock.ts'
import { revocationId } from '../../shared/revocation.ts'
import { peekSecurityEvent } from '../../shared/security-event.ts'
import { ISSUER } from '../helpers/revocations.ts'
import { createBroker } from './broker.ts'
import { type Client, covers, createClients, epochOf } from './clients.ts'
import { type Command, ISSUERS, type Run, SIDECARS } from './commands.ts'
import { createModelIssuer, type IssuerBend, LIFETIME_S } from './issuer.ts'
import { createModelSidecar, MAX_STALENESS_MS, type SidecarBend } from './sidecar.ts'
import { createWorld, type Process, START_MS } from './world.ts'

/** A wrong variant of the design; none: the design. */
export interface Bend {
  issuer?: IssuerBend
  sidecar?: SidecarBend
}

const RETENTION_MS = 4 * LIFETIME_S * 1000
/** Longer than a comparison's cuts lie apart, and three times that is longer than what it can't find still matters. */
const HEALING_MS = 61_000
/** Heartbeats of each issuer that make up for whatever a run may have lost: a second each. */
const CATCHING_UP = 100

/**
 * Lets one run happen and looks, after every step, whether what is promised holds.
 * @param heals whether everything comes back in the end, and what is missing then counts too
 * @returns what does not; `undefined` when all of it does
 */
export async function violationOf(
  { partitions, apartMs, commands }: Run,
  bend: Bend = {},
  heals = true,
): Promise<string | undefined> {
  const model = createModel(partitions, apartMs, bend)
  try {
    for (const command of commands) {
      await model.apply(command)
      model.check(command.join(' '))
    }
    if (heals) await model.heal()
    return undefined
  } catch (error) {
    if (error instanceof Violation) return error.message
    throw error
  } finally {
    model.end()
  }
}

class Violation extends Error {}

function createModel(partitions: number, apartMs: number, bend: Bend) {
  const world = createWorld()
  const broker = createBroker(partitions, RETENTION_MS)
  const { stores, clients, logIn } = createClients(apartMs)
  const original = new Map(stores.sessions)
  const process = (name: string): Process => ({ name, up: true, life: 0, skewMs: 0 })
  const issuers = Array.from({ length: ISSUERS }, (_, n) => startIssuer(process(`issuer ${n}`)))
  const sidecars = Array.from({ length: SIDECARS }, (_, n) => startSidecar(process(`sidecar ${n}`)))
  let unexpected: unknown

  function startIssuer(own: Process) {
    return { process: own, running: createModelIssuer(world, own, stores, broker, bend.issuer) }
  }
  function startSidecar(own: Process) {
    return { process: own, running: createModelSidecar(world, own, broker, bend.sidecar) }
  }

  /** Lets a client's request go on by itself; what it comes to counts only if the issuer lives until then. */
  const request = <T>(own: Process, work: Promise<T>, onAnswer: (answer: T) => void) => {
    const { life } = own
    work.then(
      (answer) => {
        if (own.up && own.life === life) onAnswer(answer)
      },
      (error) => {
        if (!(error instanceof StoreUnavailable)) unexpected = error
      },
    )
  }

  const logout = (client: Client, { process: own, running }: (typeof issuers)[number], all: boolean) => {
    request(own, running.logout(client.tokens.at(-1)!.token, all), (result) => {
      if (!result.ok) return
      const ended = all ? clients.filter(({ sub }) => sub === client.sub) : [client]
      for (const one of ended) {
        const newest = all ? one.tokens : one.tokens.slice(-1)
        if (!newest.every(({ epoch }) => revocationsOf(one, epoch).length > 0)) {
          // What was issued in a later epoch is not meant by a logout of all that had been answered before.
          if (!all) unexpected = new Violation('a logout was answered that is not in the ledger')
        } else one.loggedOut = true
      }
    })
  }

  const refresh = (client: Client, { process: own, running }: (typeof issuers)[number]) => {
    const wasLoggedOut = client.loggedOut
    request(own, running.refresh(client.refreshToken), (result) => {
      if (!result.ok) return
      if (wasLoggedOut) unexpected = new Violation('a session that was logged out has been refreshed')
      client.refreshToken = result.tokens.refreshToken
      client.tokens.push({ token: result.tokens.accessToken, epoch: epochOf(result.tokens.accessToken) })
    })
  }

  /** Names of what the ledger holds against a token of this session and epoch. */
  const revocationsOf = ({ sid, sub }: Client, epoch: number) =>
    stores.ledger
      .map(({ entry }) => entry.revocation)
      .filter((one) => covers(one, sid, sub, epoch))
      .map(revocationId)

  const issue = async (ms: number) => {
    await world.tick(ms)
    for (const { process: own, running } of issuers) if (own.up) running.round()
    await world.settle(false)
  }

  const readAll = async () => {
    for (const { running } of sidecars) {
      for (let partition = 0; partition < partitions; partition++) await running.fetch(partition, 10_000)
      await running.follow(10_000)
      running.sweep()
    }
  }

  const live = async (ms: number) => {
    await issue(ms)
    await readAll()
  }

  const at = <T>(list: readonly T[], index: number): T => list[index % list.length]!

  const actions: { [Name in Command[0]]: (...args: Parameters_<Name>) => unknown } = {
    logout: (client, issuer, all) => {
      const to = at(issuers, issuer)
      if (to.process.up) logout(at(clients, client), to, all)
    },
    interrupted: async (client, issuer, steps) => {
      const to = at(issuers, issuer)
      if (!to.process.up) return
      logout(at(clients, client), to, false)
      await world.rest()
      for (let n = 0; n < steps; n++) await world.deliver(-1, 'done', to.process)
      actions.crash(issuer, 0)
    },
    refresh: (client, issuer) => {
      const to = at(issuers, issuer)
      if (to.process.up) refresh(at(clients, client), to)
    },
    round: (issuer) => {
      const { process: own, running } = at(issuers, issuer)
      if (own.up) running.round()
    },
    'slow round': async (issuer) => {
      await actions.round(issuer)
      await world.rest()
      await world.deliver(-1, 'slow', at(issuers, issuer).process)
    },
    deliver: (place, outcome) => world.deliver(place, outcome),
    settle: async (read) => {
      await world.settle(true)
      if (read) await readAll()
    },
    tick: async (ms) => {
      await world.tick(ms)
      broker.clean(world.now)
      for (const { running } of sidecars) running.sweep()
    },
    live: async (ms, steps) => {
      for (let n = 0; n < steps; n++) {
        await live(ms)
        check('live')
      }
      broker.clean(world.now)
    },
    unread: async (ms, steps) => {
      for (let n = 0; n < steps; n++) await issue(ms)
      broker.clean(world.now)
    },
    crash: (issuer, executed) => {
      const { process: own, running } = at(issuers, issuer)
      if (!own.up) return
      world.crash(own, (index) => ((executed >> Math.min(index, 2)) & 1) === 1)
      running.close()
    },
    start: (issuer) => {
      const { process: own } = at(issuers, issuer)
      if (own.up) return
      own.up = true
      own.life++
      issuers[issuer % issuers.length] = startIssuer(own)
    },
    reconnect: (issuer) => at(issuers, issuer).running.reconnect(),
    stall: (whether) => {
      world.brokerStalls = whether
    },
    fetch: (sidecar, partition, count) => at(sidecars, sidecar).running.fetch(partition, count),
    rejoin: (sidecar) => at(sidecars, sidecar).running.rejoin(),
    restart: (sidecar) => {
      const { process: own, running } = at(sidecars, sidecar)
      running.disconnect()
      own.life++
      sidecars[sidecar % sidecars.length] = startSidecar(own)
    },
    connect: (sidecar, issuer) => {
      const to = at(issuers, issuer)
      if (to.process.up) at(sidecars, sidecar).running.connect(to.running)
    },
    disconnect: (sidecar) => at(sidecars, sidecar).running.disconnect(),
    follow: (sidecar, count) => at(sidecars, sidecar).running.follow(count),
    reconcile: (sidecar, issuer) => {
      const asked = at(issuers, issuer)
      if (!asked.process.up) return
      at(sidecars, sidecar)
        .running.reconcile(asked.running)
        .catch((error) => {
          if (!(error instanceof StoreUnavailable)) unexpected = error
        })
    },
    skew: (index, permille) => {
      at([...issuers, ...sidecars], index).process.skewMs = Math.round((apartMs * permille) / 1000)
    },
    resurrect: () => {
      for (const [sid, one] of original) stores.sessions.set(sid, one)
    },
    lose: (partition, count) => broker.lose(partition, count),
  }

  /** Names of the revocations for which nothing is promised until the lists are compared. */
  const lost = new Set<string>()
  const look = () => {
    for (const token of broker.unread) {
      const event = peekSecurityEvent(token, ISSUER)
      if (event?.type === 'revocation') lost.add(revocationId(event.revocation))
    }
    broker.unread.clear()
  }

  const check = (step: string) => {
    if (unexpected) throw unexpected
    look()
    for (const { process: own, running } of sidecars) {
      for (const client of clients) {
        for (const { token, epoch } of client.tokens) checkToken(step, own, running, client, token, epoch)
      }
    }
  }

  const checkToken = (
    step: string,
    own: Process,
    running: (typeof sidecars)[number]['running'],
    client: Client,
    token: string,
    epoch: number,
  ) => {
    const decision = running.decide(token)
    const against = revocationsOf(client, epoch)
    const fail = (text: string): never => {
      throw new Violation(`${own.name} ${text}, ${world.now - START_MS} ms after the start, after: ${step}`)
    }
    if (!decision.allow) {
      if (decision.reason === 'token_revoked' && against.length === 0) fail('refuses a token that nobody has revoked')
      return
    }
    const nowMs = world.clockOf(own).now()
    for (const id of against) {
      if (running.read.has(id)) fail(`accepts a token whose revocation it has read`)
      const committedMs = stores.committedAt.get(id)!
      if (!lost.has(id) && nowMs > committedMs + apartMs + MAX_STALENESS_MS) {
        fail(`accepts a token that was revoked ${nowMs - committedMs} ms before`)
      }
    }
  }

  /** Everything comes back and works for a while; then nothing may be missing, or be refused for no reason. */
  const heal = async () => {
    world.brokerStalls = false
    for (let n = 0; n < ISSUERS; n++) {
      await actions.start(n)
      actions.reconnect(n)
    }
    await world.settle(true)
    for (let n = 0; n < ISSUERS; n++) actions.reconnect(n)
    // Who began to read before the broker lost something is not fresh until the log is as long again: no list is
    // compared before.
    for (let n = 0; n < CATCHING_UP && !sidecars.every(({ running }) => running.isFresh()); n++) await live(1000)
    for (let round = 0; round < 3; round++) {
      await live(HEALING_MS)
      for (let n = 0; n < SIDECARS; n++) {
        actions.reconcile(n, 0)
        // The digest is computed between requests.
        for (let turn = 0; turn < 10; turn++) {
          await world.settle(true)
          await world.rest()
        }
      }
    }
    await live(1000)
    lost.clear()
    const nowS = (world.now + apartMs) / 1000
    const all = new Set(stores.ledger.map(({ entry }) => entry.id))
    const due = stores.ledger.filter(({ entry }) => entry.revocation.exp > nowS + LEEWAY_S).map(({ entry }) => entry.id)
    const fresh = logIn(world.clockOf(issuers[0]!.process))
    for (const { process: own, running } of sidecars) {
      if (!running.isFresh()) throw new Violation(`${own.name} is not fresh although everything works`)
      if (!running.decide(fresh).allow) throw new Violation(`${own.name} refuses a new token`)
      const listed = running.listed()
      for (const id of listed) if (!all.has(id)) throw new Violation(`${own.name} has ${id}, the ledger has not`)
      for (const id of due) if (!listed.has(id)) throw new Violation(`${own.name} lacks ${id}`)
    }
    check('healing')
  }

  return {
    async apply([name, ...args]: Command) {
      await (actions[name] as (...args: unknown[]) => unknown)(...args)
      await world.rest()
    },
    check,
    heal,
    end() {
      for (const { running } of issuers) running.close()
      world.end()
    },
  }
}

type Parameters_<Name extends Command[0]> =
  Extract<Command, [Name, ...unknown[]]> extends [Name, ...infer Rest] ? Rest : never
