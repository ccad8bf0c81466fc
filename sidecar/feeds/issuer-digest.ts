import { type Agent, request } from 'undici'
import { type LedgerDigest, parseLedgerDigest } from '../../shared/revocation-digest.ts'

const MAX_BYTES = 4096
/** The first who asks for a cut waits until the issuer has read its ledger: milliseconds. */
const DEADLINE_MS = 60_000

export interface DigestAddress {
  /** Of the issuer's feed; that of the digest is beneath it. */
  url: string
  feedToken: string
}

/**
 * Asks the issuer for the digest of what was recorded before `cut`. The answer is not signed: whoever could change it
 * could cause snapshots, which are, or keep a loss from being found, but not make this sidecar believe anything.
 * @param cut seconds since the Unix epoch
 * @returns `undefined` when the issuer has no such route: it is older than this sidecar
 * @throws when there is no usable answer
 */
export async function fetchDigest(
  { url, feedToken }: DigestAddress,
  cut: number,
  dispatcher: Agent,
  signal: AbortSignal,
): Promise<LedgerDigest | undefined> {
  const { statusCode, body } = await request(`${url}/digest?cut=${cut}`, {
    dispatcher,
    headers: { accept: 'application/json', authorization: `Bearer ${feedToken}` },
    signal: AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]),
  })
  const chunks: Buffer[] = []
  let size = 0
  // Leaving the loop early ends the connection.
  for await (const chunk of body as AsyncIterable<Buffer>) {
    if (statusCode !== 200) break
    size += chunk.length
    if (size > MAX_BYTES) throw new Error('the digest is too long')
    chunks.push(chunk)
  }
  if (statusCode === 404) return undefined
  // A redirect is not followed: the credential is for this address only.
  if (statusCode !== 200) throw new Error(`the issuer answered ${statusCode} instead of a digest`)
  const digest = parseLedgerDigest(JSON.parse(Buffer.concat(chunks).toString('utf8')))
  if (!digest) throw new Error('the digest of the issuer is malformed')
  return digest
}
