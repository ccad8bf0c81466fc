import fc from 'fast-check'
import { test } from 'tap'
import { DEFAULT_IDENTITY_HEADERS } from '../../../shared/identity-headers.ts'
import { trustedPeers } from '../../../sidecar/proxy/peer.ts'
import { createRequestHeaders, type RequestHeaderRules } from '../../../sidecar/proxy/request-headers.ts'
import { accessClaims } from '../../helpers/access-tokens.ts'
import { valuesOf } from '../../helpers/raw-http.ts'

const PEER = { address: '192.0.2.7', encrypted: false }
const identity = {
  claims: accessClaims({ sub: 'ada', sid: 's', roles: ['a', 'b'], email: 'ada@example.com' }),
  kid: 'k',
}

function made(rawHeaders: string[], rules: Partial<RequestHeaderRules> = {}, peer = PEER, who?: typeof identity) {
  const result = createRequestHeaders({
    identityHeaders: DEFAULT_IDENTITY_HEADERS,
    forwardToken: false,
    isTrusted: () => false,
    ...rules,
  })(rawHeaders, peer, who)
  return result.ok ? result.headers : []
}

test('what the client says about where it comes from is replaced', async (t) => {
  const sent = [
    'Host',
    'a.example',
    'X-Forwarded-For',
    '6.6.6.6',
    'X-Forwarded-Proto',
    'https',
    'X-Forwarded-Host',
    'evil',
  ]
  const headers = made([...sent, 'Forwarded', 'for=6.6.6.6', 'X-Real-IP', '6.6.6.6', 'x_forwarded_for', '6.6.6.6'])
  t.same(valuesOf(headers, 'x-forwarded-for'), ['192.0.2.7'])
  t.same(valuesOf(headers, 'x-forwarded-proto'), ['http'])
  t.same(valuesOf(headers, 'x-forwarded-host'), ['a.example'])
  for (const name of ['forwarded', 'x-real-ip', 'x_forwarded_for']) t.same(valuesOf(headers, name), [], name)
  t.same(valuesOf(made(sent, {}, { ...PEER, encrypted: true }), 'x-forwarded-proto'), ['https'])
})

test('a trusted proxy is believed, and added to', async (t) => {
  const isTrusted = trustedPeers(['192.0.2.0/24', '2001:db8::1'])
  const sent = [
    'Host',
    'inner',
    'X-Forwarded-For',
    '1.1.1.1',
    'X-Forwarded-For',
    '2.2.2.2',
    'X-Forwarded-Proto',
    'https',
  ]
  const headers = made([...sent, 'X-Forwarded-Host', 'outer', 'Forwarded', 'for=1.1.1.1', 'X-Real-IP', '1.1.1.1'], {
    isTrusted,
  })
  t.same(valuesOf(headers, 'x-forwarded-for'), ['1.1.1.1, 2.2.2.2, 192.0.2.7'])
  t.same(valuesOf(headers, 'x-forwarded-proto'), ['https'])
  t.same(valuesOf(headers, 'x-forwarded-host'), ['outer'])
  t.same(valuesOf(headers, 'forwarded'), ['for=1.1.1.1, for=192.0.2.7'])
  t.same(valuesOf(headers, 'x-real-ip'), ['1.1.1.1'])
  const six = made(
    ['Host', 'a', 'Forwarded', 'for=1.1.1.1'],
    { isTrusted },
    { address: '2001:db8::1', encrypted: false },
  )
  t.same(valuesOf(six, 'forwarded'), ['for=1.1.1.1, for="[2001:db8::1]"'])
  t.same(valuesOf(made(sent, { isTrusted }, { address: '198.51.100.1', encrypted: false }), 'x-forwarded-for'), [
    '198.51.100.1',
  ])
})

test('the identity is what the token says, under the configured names', async (t) => {
  const headers = made(['Host', 'a', 'X-User-Id', 'evil'], {}, PEER, identity)
  t.same(valuesOf(headers, 'x-user-id'), ['ada'])
  t.same(valuesOf(headers, 'x-user-roles'), ['a,b'])
  t.same(valuesOf(headers, 'x-session-id'), ['s'])
  t.same(valuesOf(headers, 'x-user-claims'), [])
  const named = made(
    ['Host', 'a', 'X_Uid', 'evil', 'X-User-Id', 'evil'],
    { identityHeaders: { userId: 'X-Uid' } },
    PEER,
    identity,
  )
  t.same(valuesOf(named, 'x-uid'), ['ada'])
  t.notOk(named.includes('evil'), 'the defaults are stripped too')
  t.notMatch(made(['Host', 'a'], {}, PEER).join(), /X-User/, 'nobody is nobody')
})

test('the token stays here unless it is to be forwarded', async (t) => {
  const sent = ['Host', 'a', 'Authorization', 'Bearer x', 'authorization_', 'y', 'Proxy-Authorization', 'z']
  t.same(valuesOf(made(sent), 'authorization'), [])
  t.same(valuesOf(made(sent, { forwardToken: true }), 'authorization'), ['Bearer x'])
  t.same(valuesOf(made(sent, { forwardToken: true }), 'proxy-authorization'), [])
})

test('everything else passes as it is: order, case, repetition, trace context, bytes', async (t) => {
  const sent = [
    'aCCept',
    '*/*',
    'Cookie',
    'a=1',
    'Cookie',
    'b=2',
    'traceparent',
    '00-1-2-01',
    'tracestate',
    'k=v',
    'X_Other',
    'é',
  ]
  t.same(made(['Host', 'a', ...sent]).slice(0, sent.length), sent)
})

test('a request addresses one host', async (t) => {
  const make = createRequestHeaders({ identityHeaders: {}, forwardToken: false, isTrusted: () => false })
  const reason = (...hosts: string[]) => {
    const result = make(
      hosts.flatMap((host) => ['Host', host]),
      PEER,
      undefined,
    )
    return result.ok ? 'ok' : result.reason
  }
  for (const host of ['a', 'a.example:8080', '[::1]:80', '127.0.0.1', 'a_b', '']) {
    t.equal(reason(host), host === '' ? 'host_malformed' : 'ok', host)
  }
  for (const host of ['a/b', 'a@b', 'a b', 'a,b', 'a:b', 'a?b', 'http://a', 'a:80:80'])
    t.equal(reason(host), 'host_malformed', host)
  t.equal(reason('a', 'a'), 'host_repeated')
  t.equal(reason(), 'ok', 'HTTP/1.0')
})

test('no field makes another path of the one that was matched: gunicorn takes SCRIPT_NAME off it', async (t) => {
  const paths = ['SCRIPT_NAME', 'script_name', 'Script-Name', 'PATH_INFO', 'X-Script-Name', 'X_SCRIPT_NAME']
  const urls = ['X-Original-URL', 'X-Rewrite-URL', 'X-Forwarded-Path', 'X-Forwarded-Prefix', 'X-HTTP-Method-Override']
  for (const name of [...paths, ...urls]) {
    t.same(valuesOf(made(['Host', 'a', name, '/public']), name), [], name)
  }
})

test('a flood of names is not remembered', async (t) => {
  const make = createRequestHeaders({ identityHeaders: {}, forwardToken: false, isTrusted: () => false })
  for (let i = 0; i < 5000; i++) make([`X-${i}`, '1'], PEER, undefined)
  const result = make(['X_User_Id', 'evil', 'X-5001', '1'], PEER, undefined)
  t.ok(result.ok && !result.headers.includes('evil') && result.headers.includes('X-5001'), 'and the rules still hold')
})

test('identity headers (CVE-2025-64484, CVE-2026-88011): no mixture of case and separators passes, every other name does', async () => {
  const names = [...Object.values(DEFAULT_IDENTITY_HEADERS), 'X-User-Claims', 'X-Uid']
  // Every character that a field name may have and that is no letter or digit (RFC 9110 section 5.6.2).
  const separator = fc.constantFrom(..."-_.!#$%&'*+^`|~")
  const spelled = (name: string) =>
    fc
      .tuple(
        ...[...name].map((character) =>
          fc.tuple(separator, fc.boolean()).map(([mark, upper]) => {
            if (character === '-') return mark
            return upper ? character.toUpperCase() : character.toLowerCase()
          }),
        ),
      )
      .map((characters) => characters.join(''))
  const alias = fc.constantFrom(...names).chain(spelled)
  const other = fc.constantFrom('X-User', 'X-User-Ids', 'XUserId', 'X-UserId', 'X-User--Id', 'Y-User-Id', 'X-Users-Id')
  const make = createRequestHeaders({
    identityHeaders: { userId: 'X-Uid', sessionId: 'X-Session-Id' },
    forwardToken: false,
    isTrusted: () => true,
  })
  fc.assert(
    fc.property(
      fc.array(alias, { maxLength: 6 }),
      fc.array(other, { maxLength: 3 }),
      fc.boolean(),
      (bad, good, known) => {
        const sent = [...bad.flatMap((name) => [name, 'evil']), ...good.flatMap((name) => [name, 'good'])]
        const result = make(['Host', 'a', ...sent], PEER, known ? identity : undefined)
        if (!result.ok || result.headers.includes('evil')) return false
        if (result.headers.filter((value) => value === 'good').length !== good.length) return false
        return valuesOf(result.headers, 'x-uid').join() === (known ? 'ada' : '')
      },
    ),
    { numRuns: 2000 },
  )
})

test('httpoxy (CVE-2016-5385): no field becomes HTTP_PROXY, by which a CGI program would choose its own proxy', async (t) => {
  for (const name of ['Proxy', 'proxy', 'PROXY', 'pRoXy']) {
    t.same(valuesOf(made(['Host', 'a', name, 'http://evil.example:8080']), name), [], name)
  }
  t.same(valuesOf(made(['Host', 'a', 'X-Proxy', '1', 'Proxying', '2']), 'x-proxy'), ['1'])
})

test('a transfer coding other than chunked is refused, for it would be lost', async (t) => {
  const make = createRequestHeaders({ identityHeaders: {}, forwardToken: false, isTrusted: () => false })
  for (const coding of ['gzip, chunked', 'identity, chunked', ', chunked', 'identity']) {
    const result = make(['Host', 'a', 'Transfer-Encoding', coding, 'Transfer-Encoding', 'chunked'], PEER, undefined)
    t.same(result, { ok: false, reason: 'transfer_coding' }, coding)
  }
  t.ok(make(['Host', 'a', 'Transfer-Encoding', 'Chunked'], PEER, undefined).ok)
})
