import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { test } from 'tap'
import { thumbprint } from '../../../issuer/domain/generate-key.ts'
import { readPemKey } from '../../../issuer/domain/pem-key.ts'

const PASSPHRASE = 'opens it'
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ed = generateKeyPairSync('ed25519')

type Format = { type: 'pkcs8' | 'sec1' | 'pkcs1'; cipher?: string }

const pem = ({ privateKey }: { privateKey: KeyObject }, { type, cipher }: Format) =>
  privateKey.export({
    type,
    format: 'pem',
    ...(cipher && { cipher, passphrase: PASSPHRASE }),
  } as never) as unknown as string

test('every form in which a private key comes', async (t) => {
  const parameters = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n'
  const rows: [name: string, text: string, alg: string, publicKey: KeyObject, passphrase?: string][] = [
    ['PKCS #8, P-256', pem(ec, { type: 'pkcs8' }), 'ES256', ec.publicKey],
    ['SEC 1', pem(ec, { type: 'sec1' }), 'ES256', ec.publicKey],
    [
      'SEC 1 after its parameters, as openssl ecparam writes it',
      parameters + pem(ec, { type: 'sec1' }),
      'ES256',
      ec.publicKey,
    ],
    ['PKCS #1', pem(rsa, { type: 'pkcs1' }), 'RS256', rsa.publicKey],
    ['PKCS #8, RSA', pem(rsa, { type: 'pkcs8' }), 'RS256', rsa.publicKey],
    ['PKCS #8, Ed25519', pem(ed, { type: 'pkcs8' }), 'EdDSA', ed.publicKey],
    ['encrypted PKCS #8', pem(ed, { type: 'pkcs8', cipher: 'aes-256-cbc' }), 'EdDSA', ed.publicKey, PASSPHRASE],
    ['encrypted PKCS #1', pem(rsa, { type: 'pkcs1', cipher: 'aes-256-cbc' }), 'RS256', rsa.publicKey, PASSPHRASE],
    ['with carriage returns', pem(ec, { type: 'pkcs8' }).replaceAll('\n', '\r\n'), 'ES256', ec.publicKey],
    ['without its last newline', pem(ec, { type: 'pkcs8' }).trim(), 'ES256', ec.publicKey],
    ['a passphrase that is not needed', pem(ec, { type: 'pkcs8' }), 'ES256', ec.publicKey, PASSPHRASE],
  ]
  for (const [name, text, alg, publicKey, passphrase] of rows) {
    t.match(readPemKey(text, passphrase), { ok: true, pair: { alg, kid: thumbprint(publicKey) } }, name)
  }
})

test('what cannot sign, or not safely, is refused in one clear line that says nothing of the key', async (t) => {
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const exponent = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 })
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const bitcoin = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
  const pss = generateKeyPairSync('rsa-pss', { modulusLength: 2048 })
  const agreement = generateKeyPairSync('x25519')
  const encrypted = pem(ed, { type: 'pkcs8', cipher: 'aes-256-cbc' })
  const plain = pem(ec, { type: 'pkcs8' })
  const publicPem = ec.publicKey.export({ type: 'spki', format: 'pem' }) as string
  const rows: [name: string, text: string, problem: RegExp, passphrase?: string][] = [
    ['1024 bits', pem(weak, { type: 'pkcs8' }), /^is an RSA key of 1024 bits; use 2048 to 8192$/],
    ['exponent 3', pem(exponent, { type: 'pkcs8' }), /^is an RSA key with the public exponent 3; use 65537$/],
    ['P-384', pem(p384, { type: 'pkcs8' }), /^is a key on the curve secp384r1; ES256 needs P-256/],
    ['secp256k1', pem(bitcoin, { type: 'pkcs8' }), /^is a key on the curve secp256k1/],
    ['RSA-PSS', pem(pss, { type: 'pkcs8' }), /^is a key of type rsa-pss; use EC \(P-256\), RSA or Ed25519$/],
    ['X25519', pem(agreement, { type: 'pkcs8' }), /^is a key of type x25519/],
    ['no passphrase', encrypted, /^is encrypted, and the passphrase is not given$/],
    ['a wrong passphrase', encrypted, /^is encrypted, and the passphrase is not the right one$/, 'wrong'],
    ['a public key', publicPem, /^is a public key, not a private key$/],
    [
      'a certificate',
      '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----',
      /^is a certificate, not a private key$/,
    ],
    ['two keys', plain + pem(rsa, { type: 'pkcs8' }), /^has to be one private key in PEM$/],
    ['broken', plain.replace(/[A-Za-z0-9]{8}/, '????????'), /^is a private key that cannot be read$/],
    ['cut off', plain.slice(0, 60), /^is a private key that cannot be read$/],
    ['a path', '/run/secrets/key.pem', /^is not a private key in PEM$/],
    ['nothing', '', /^is not a private key in PEM$/],
    ['huge', plain + ' '.repeat(70_000), /^has to be one private key in PEM$/],
    [
      'of two halves',
      mixed(ec.privateKey, other.publicKey),
      /^is a private key (whose two halves do not belong together|that cannot be read)$/,
    ],
  ]
  for (const [name, text, problem, passphrase] of rows) {
    const result = readPemKey(text, passphrase)
    t.match(result, { ok: false, problem }, name)
  }
})

/** A SEC 1 key with the public half of another. */
function mixed(privateKey: KeyObject, publicKey: KeyObject): string {
  const der = privateKey.export({ type: 'sec1', format: 'der' })
  const own = publicPoint(privateKey)
  const at = der.indexOf(own)
  publicPoint(publicKey).copy(der, at)
  return `-----BEGIN EC PRIVATE KEY-----\n${der.toString('base64')}\n-----END EC PRIVATE KEY-----\n`
}

function publicPoint(key: KeyObject): Buffer {
  const { x, y } = key.export({ format: 'jwk' }) as { x: string; y: string }
  return Buffer.concat([Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')])
}
