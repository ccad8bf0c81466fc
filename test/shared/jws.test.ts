import { createHmac, createPublicKey, sign } from 'node:crypto'
import fc from 'fast-check'
import { CompactEncrypt, CompactSign, compactVerify, exportSPKI, importJWK } from 'jose'
import { test } from 'tap'
import { toJwk } from '../../shared/jwks.ts'
import {
  ALGORITHM_NAMES,
  type Algorithm,
  MAX_TOKEN_BYTES,
  parseJws,
  type SigningKeyPair,
  signJws,
  type VerificationKey,
  verifySignature,
} from '../../shared/jws.ts'
import { signingKey } from '../helpers/revocations.ts'

const KEYS = Object.fromEntries(ALGORITHM_NAMES.map((alg) => [alg, signingKey(alg)])) as Record<
  Algorithm,
  SigningKeyPair
>
const ES256 = KEYS.ES256
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const token = (header: unknown, payload: unknown, signature: Buffer | string = Buffer.alloc(64, 1)) =>
  `${encode(header)}.${encode(payload)}.${Buffer.from(signature).toString('base64url')}`
const header = (more: object = {}) => ({ alg: 'ES256', typ: 'at+jwt', kid: ES256.kid, ...more })

function accepts(text: string, key: VerificationKey): boolean {
  const jws = parseJws(text)
  return jws !== undefined && verifySignature(jws, key)
}

for (const alg of ALGORITHM_NAMES) {
  const key = KEYS[alg]

  test(`${alg}: jose verifies what we sign, we verify what jose signs`, async (t) => {
    const claims = { sub: 'someone', n: 1, text: 'ü€😀' }
    const ours = signJws(key, 'at+jwt', claims)
    const { payload, protectedHeader } = await compactVerify(ours, await importJWK(toJwk(key)), { algorithms: [alg] })
    t.same(JSON.parse(new TextDecoder().decode(payload)), claims)
    t.same(protectedHeader, { alg, typ: 'at+jwt', kid: key.kid })

    const theirs = await new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
      .setProtectedHeader({ alg, kid: key.kid, typ: 'at+jwt' })
      .sign(key.privateKey)
    t.ok(accepts(theirs, key))
    t.same(parseJws(theirs)?.payload, claims)
  })

  test(`${alg}: a token that was changed anywhere is refused`, async (t) => {
    const good = signJws(key, 'at+jwt', { sub: 'someone', iat: 1_700_000_000 })
    t.ok(accepts(good, key))
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.constantFrom(...'AZaz09-_.=+/ \n'), (at, character) => {
        const changed = good.slice(0, at) + character + good.slice(at + 1)
        return changed === good || !accepts(changed, key)
      }),
      { numRuns: 500 },
    )
    fc.assert(fc.property(fc.nat(good.length - 1), (length) => !accepts(good.slice(0, length), key)))
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (more) => !accepts(good + more, key) && !accepts(more + good, key)),
    )
  })

  test(`${alg}: a key is used with its own algorithm only, and another key of the kind does not verify`, async (t) => {
    const good = signJws(key, 'at+jwt', { sub: 'someone' })
    t.notOk(accepts(good, signingKey(alg, key.kid)))
    for (const other of ALGORITHM_NAMES.filter((name) => name !== alg)) {
      t.notOk(accepts(good, KEYS[other]), other)
      t.notOk(accepts(good, { ...key, alg: other }), `${alg} key declared as ${other}`)
      t.notOk(accepts(token({ ...header(), alg: other }, {}, Buffer.alloc(64, 1)), key), `header says ${other}`)
    }
  })

  test(`${alg}: zero, empty and malformed signatures (CVE-2022-21449)`, async (t) => {
    const [head, payload] = signJws(key, 'at+jwt', { sub: 'someone' }).split('.')
    for (const length of [0, 1, 63, 64, 65, 72, 128, 256]) {
      for (const fill of [0, 1, 0xff]) {
        const signature = Buffer.alloc(length, fill).toString('base64url')
        t.notOk(accepts(`${head}.${payload}.${signature}`, key), `${length} bytes of ${fill}`)
      }
    }
  })
}

test('ES256: a DER signature is not a JWS signature, and neither is one with s or r out of range', async (t) => {
  const [head, payload] = signJws(ES256, 'at+jwt', { sub: 'someone' }).split('.')
  const der = sign('sha256', Buffer.from(`${head}.${payload}`), ES256.privateKey)
  t.notOk(accepts(`${head}.${payload}.${der.toString('base64url')}`, ES256))
  const order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
  t.notOk(accepts(`${head}.${payload}.${Buffer.concat([order, order]).toString('base64url')}`, ES256))
})

test('alg none, in any spelling (CVE-2015-9235, CVE-2023-48223)', async (t) => {
  for (const alg of ['none', 'None', 'NONE', 'nOnE', '', 'es256', 'ES256K', '__proto__', 'toString', 'constructor']) {
    t.equal(parseJws(token(header({ alg }), { sub: 'x' })), undefined, alg)
    t.equal(parseJws(`${encode(header({ alg }))}.${encode({ sub: 'x' })}.`), undefined, `${alg} without signature`)
  }
  for (const alg of [undefined, null, 1, ['ES256'], { ES256: 1 }, true]) {
    t.equal(parseJws(token(header({ alg }), {})), undefined, JSON.stringify(alg))
  }
})

test('HS256 with the public key as the secret (CVE-2015-9235, CVE-2023-48223, CVE-2026-34950)', async (t) => {
  for (const alg of ALGORITHM_NAMES) {
    const pem = await exportSPKI(createPublicKey(KEYS[alg].key.export({ type: 'spki', format: 'pem' })))
    const der = KEYS[alg].key.export({ type: 'spki', format: 'der' })
    for (const secret of [pem, pem.trim(), der]) {
      for (const hs of ['HS256', 'HS384', 'HS512']) {
        const input = `${encode({ alg: hs, typ: 'at+jwt', kid: KEYS[alg].kid })}.${encode({ sub: 'x' })}`
        const mac = createHmac(hs.replace('HS', 'sha'), secret).update(input).digest('base64url')
        t.equal(parseJws(`${input}.${mac}`), undefined)
      }
      const input = `${encode({ alg, typ: 'at+jwt', kid: KEYS[alg].kid })}.${encode({ sub: 'x' })}`
      const mac = createHmac('sha512', secret).update(input).digest('base64url')
      t.notOk(accepts(`${input}.${mac}`, KEYS[alg]), 'a MAC under an asymmetric name')
    }
  }
})

test('headers that name a key or change the reading (CVE-2018-0114, CVE-2026-81829, GHSA-hhhv-q57g-882q)', async (t) => {
  const more = {
    jku: 'https://evil.example',
    jwk: toJwk(ES256),
    x5u: 'x',
    x5c: ['x'],
    crit: ['exp'],
    b64: false,
    zip: 'DEF',
  }
  for (const [name, value] of Object.entries(more)) {
    const input = `${encode(header({ [name]: value }))}.${encode({ sub: 'x' })}`
    const signature = sign('sha256', Buffer.from(input), { key: ES256.privateKey, dsaEncoding: 'ieee-p1363' })
    t.equal(parseJws(`${input}.${signature.toString('base64url')}`), undefined, `${name}, though well signed`)
  }
})

test('kid is a text and no more (CVE-2026-81829)', async (t) => {
  for (const kid of [undefined, null, 1, '', {}, ['a'], 'x'.repeat(129)]) {
    t.equal(parseJws(token(header({ kid }), {})), undefined, JSON.stringify(kid)?.slice(0, 40))
  }
  for (const kid of ['__proto__', '../../etc/passwd', "' OR 1=1", 'constructor', '\u0000']) {
    t.equal(parseJws(token(header({ kid }), {}))?.kid, kid, 'handed on as it is, for a map to look up')
  }
})

test('five parts, JWE, JSON serialisation, huge tokens (CVE-2024-28180)', async (t) => {
  const jwe = await new CompactEncrypt(Buffer.from('{}'))
    .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM' })
    .encrypt(KEYS.RS256.key)
  t.equal(parseJws(jwe), undefined)
  t.equal(parseJws(JSON.stringify({ payload: '', signatures: [] })), undefined)
  t.equal(parseJws(token(header(), { pad: 'x'.repeat(MAX_TOKEN_BYTES) })), undefined)
  t.equal(parseJws(token(header({ pad: 'x'.repeat(1024) }), {})), undefined)
  for (const text of ['', '.', '..', '...', 'a.b', 'a.b.c', 'a.b.c.d', '.b.c', 'a..c', 'a.b.', 'e30.e30.e30']) {
    t.equal(parseJws(text), undefined, JSON.stringify(text))
  }
})

test('one value has one spelling: padding, other alphabets and spare bits are refused', async (t) => {
  const good = signJws(ES256, 'at+jwt', { sub: 'someone' })
  const last = good.at(-1)!
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  // 64 bytes leave four spare bits in the last character: fifteen more spellings of the same bytes.
  const same = [...alphabet].filter((c) => c !== last && alphabet.indexOf(c) >> 4 === alphabet.indexOf(last) >> 4)
  t.equal(same.length, 15)
  for (const character of same) t.equal(parseJws(good.slice(0, -1) + character), undefined)
  for (const text of [`${good}=`, `${good}==`, ` ${good}`, `${good}\n`]) t.equal(parseJws(text), undefined)
})

test('a payload that is no JSON object in UTF-8 is refused', async (t) => {
  for (const payload of [[], null, 1, 'text', true]) {
    t.equal(parseJws(token(header(), payload)), undefined, JSON.stringify(payload))
  }
  const broken = Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]).toString('base64url')
  t.equal(parseJws(`${encode(header())}.${broken}.${'A'.repeat(86)}`), undefined)
})

test('nothing makes the parser throw', async () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' })), (text) => {
      parseJws(text)
    }),
  )
  fc.assert(
    fc.property(fc.json(), fc.json(), fc.uint8Array(), (head, payload, signature) => {
      const parts = [Buffer.from(head), Buffer.from(payload), Buffer.from(signature)]
      const jws = parseJws(parts.map((part) => part.toString('base64url')).join('.'))
      if (jws && verifySignature(jws, ES256)) throw new Error('accepted')
    }),
    { numRuns: 300 },
  )
})
