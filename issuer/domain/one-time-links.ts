import { createHash } from 'node:crypto'
import type { Clock } from '../../shared/clock.ts'
import { readEmail } from './normal-form.ts'
import { newOneTimeToken, type Purpose, voidToken } from './one-time-token.ts'
import type { Audit, Mailer, MailKind, OneTimeTokens, RequestCounts, Users } from './ports.ts'
import { auditFacts, type ClientFacts } from './start-session.ts'
import type { User } from './user.ts'

/** Mails links with single-use tokens, to the address that the store has and to no other. */
export interface OneTimeLinks {
  /**
   * Mails a link to whoever has this address, if anyone has, may use it, and got none within a minute. All of these are
   * the same work, so that neither the answer nor its time tells who is known here.
   * @returns false when it is no address at all
   * @throws StoreUnavailable
   */
  request(purpose: Purpose, email: string, client: ClientFacts): Promise<boolean>
  /** Mails a new user the link that verifies their address. */
  welcome(user: User, client: ClientFacts): Promise<void>
  /**
   * Tells the owner of an address that someone has tried to register with it. The link resets the password: should the
   * account be a stranger's who never verified it, the owner of the address gets it.
   */
  alreadyRegistered(emailKey: string, client: ClientFacts): Promise<void>
  /**
   * Tells an address that its account has another one now, without saying which. There is no link: those that went to
   * this address are void with the change.
   */
  addressChanged(before: User): Promise<void>
}

export interface OneTimeLinkPorts {
  users: Users
  oneTimeTokens: OneTimeTokens
  counts: RequestCounts
  mailer: Mailer
  audit: Audit
  clock: Clock
}

const ONE_MAIL_EVERY_MS = 60_000

const PURPOSES: Record<Exclude<MailKind, 'password_changed' | 'email_changed'>, Purpose> = {
  verify_email: 'verify_email',
  reset_password: 'reset_password',
  already_registered: 'reset_password',
}

export function createOneTimeLinks({
  users,
  oneTimeTokens,
  counts,
  mailer,
  audit,
  clock,
}: OneTimeLinkPorts): OneTimeLinks {
  const isFirst = async (kind: MailKind, emailKey: string) => {
    const account = createHash('sha256').update(emailKey).digest('base64url').slice(0, 22)
    return (await counts.hit(`mail:${kind}:${account}`, ONE_MAIL_EVERY_MS)).count === 1
  }

  const mail = async (kind: keyof typeof PURPOSES, user: User | undefined, client: ClientFacts) => {
    const purpose = PURPOSES[kind]
    if (!user) return oneTimeTokens.insert(voidToken(purpose, clock.now()))
    const { token, kept } = newOneTimeToken(user, purpose, clock.now())
    await oneTimeTokens.insert(kept)
    mailer.send({ kind, to: user.email, token })
    audit.record('link_mailed', { kind, sub: user.id, ...auditFacts(client) })
  }

  return {
    async request(purpose, email, client) {
      const address = readEmail(email)
      if (!address) return false
      const [first, user] = await Promise.all([isFirst(purpose, address.key), users.byEmailKey(address.key)])
      const wanted = first && user?.isActive && !(purpose === 'verify_email' && user.isVerified)
      await mail(purpose, wanted ? user : undefined, client)
      return true
    },
    async welcome(user, client) {
      await isFirst('verify_email', user.emailKey)
      await mail('verify_email', user, client)
    },
    async alreadyRegistered(emailKey, client) {
      const [first, user] = await Promise.all([isFirst('already_registered', emailKey), users.byEmailKey(emailKey)])
      await mail('already_registered', first && user?.isActive ? user : undefined, client)
    },
    async addressChanged({ email, emailKey }) {
      if (await isFirst('email_changed', emailKey)) mailer.send({ kind: 'email_changed', to: email })
    },
  }
}
