import type {
  Clients,
  GuessCounts,
  IssuerReports,
  Ledger,
  OneTimeTokens,
  RequestCounts,
  Roles,
  Sessions,
  SigningKeys,
  Users,
} from '../domain/ports.ts'

/** What has to be in a durable store. */
export interface DurablePorts {
  users: Users
  roles: Roles
  ledger: Ledger
  issuerReports: IssuerReports
  signingKeys: SigningKeys
  clients: Clients
  oneTimeTokens: OneTimeTokens
}

export interface SessionPorts {
  sessions: Sessions
}

/** What replicas count together. */
export interface CountPorts {
  counts: RequestCounts & GuessCounts
}

/** One store, which may be behind several ports. */
export interface Store<Ports> {
  /** For the log and the health check. */
  name: string
  ports: Ports
  /**
   * Brings tables and indexes up to date; may be called again after it failed.
   * @throws StoreUnavailable while the store can't be reached
   */
  open(): Promise<void>
  /** @throws when it does not answer */
  ping(): unknown
  close(): unknown
}
