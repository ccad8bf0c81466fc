import { member } from './document.ts'
import type { Verdict } from './inject.ts'

/** What an AdmissionReview asks, as far as it concerns the injector. */
export interface AdmissionRequest {
  uid: string
  /** For the log: the namespace, and the name or the beginning that the name will have. */
  namespace: string
  name: string
  dryRun: boolean
  object: unknown
}

/** An AdmissionReview that answers (admission.k8s.io/v1). */
export interface AdmissionAnswer {
  apiVersion: 'admission.k8s.io/v1'
  kind: 'AdmissionReview'
  response: {
    uid: string
    allowed: boolean
    status?: { code: number; message: string }
    patchType?: 'JSONPatch'
    /** A JSON Patch (RFC 6902), in base64. */
    patch?: string
    warnings?: string[]
  }
}

export type ReadReview =
  | { kind: 'pod'; request: AdmissionRequest }
  /** It needs no look at a Pod. */
  | { kind: 'answered'; answer: AdmissionAnswer; reason: string }
  /** It is no AdmissionReview that could be answered: whoever sent it is not an API server. */
  | { kind: 'invalid'; reason: string }

const VERSION = 'admission.k8s.io/v1'
const MAX_UID = 256
/** A Pod can have any number of problems: characters. */
const MAX_MESSAGE = 2000
/** Beyond that the API server cuts warnings off: characters of each. */
const MAX_WARNING = 256

/** Reads an AdmissionReview of which nothing is known but that it was JSON. */
export function readReview(review: unknown): ReadReview {
  const request = member(review, 'request')
  const uid = member(request, 'uid')
  if (typeof uid !== 'string' || uid === '' || uid.length > MAX_UID) {
    return { kind: 'invalid', reason: 'this is no AdmissionReview with a request and its uid' }
  }
  const refuse = (reason: string): ReadReview => ({ kind: 'answered', answer: refusal(uid, 400, reason), reason })
  if (member(review, 'kind') !== 'AdmissionReview' || member(review, 'apiVersion') !== VERSION) {
    return refuse(`the injector answers AdmissionReview of ${VERSION} only; set admissionReviewVersions: [v1]`)
  }
  const operation = member(request, 'operation')
  const subResource = member(request, 'subResource') ?? ''
  if (operation !== 'CREATE' || subResource !== '') {
    return { kind: 'answered', answer: allowed(uid), reason: 'nothing is created' }
  }
  const kind = member(request, 'kind')
  if ((member(kind, 'group') ?? '') !== '' || member(kind, 'version') !== 'v1' || member(kind, 'kind') !== 'Pod') {
    return refuse('the injector knows Pods (v1) only; let the webhook have no other resources')
  }
  const object = member(request, 'object')
  const metadata = member(object, 'metadata')
  return {
    kind: 'pod',
    request: {
      uid,
      namespace: shown(member(request, 'namespace')),
      name:
        shown(member(request, 'name')) || shown(member(metadata, 'name')) || shown(member(metadata, 'generateName')),
      dryRun: member(request, 'dryRun') === true,
      object,
    },
  }
}

/** The answer to a request whose Pod has been decided about. */
export function answerOf(uid: string, verdict: Verdict): AdmissionAnswer {
  if (verdict.outcome === 'refused') return refusal(uid, 403, verdict.message)
  const answer = allowed(uid)
  if ('patch' in verdict && verdict.patch.length > 0) {
    answer.response.patchType = 'JSONPatch'
    answer.response.patch = Buffer.from(JSON.stringify(verdict.patch)).toString('base64')
  }
  if ('warnings' in verdict && verdict.warnings.length > 0) {
    answer.response.warnings = verdict.warnings.map((text) => `sallyport: ${text}`.slice(0, MAX_WARNING))
  }
  return answer
}

function allowed(uid: string): AdmissionAnswer {
  return { apiVersion: VERSION, kind: 'AdmissionReview', response: { uid, allowed: true } }
}

function refusal(uid: string, code: number, message: string): AdmissionAnswer {
  return {
    apiVersion: VERSION,
    kind: 'AdmissionReview',
    response: { uid, allowed: false, status: { code, message: `sallyport: ${message}`.slice(0, MAX_MESSAGE) } },
  }
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 253) : ''
}
