import { posix } from 'node:path'
import fc from 'fast-check'
import { test } from 'tap'
import { MAX_TARGET_BYTES, METHODS, readTarget, type TargetRefusal } from '../../../sidecar/domain/target.ts'
import { targets } from '../../helpers/targets.ts'

const ACCEPTED: [name: string, target: string, path: string][] = [
  ['the root', '/', '/'],
  ['a path', '/api/v1/users', '/api/v1/users'],
  ['a slash at the end', '/api/', '/api/'],
  ['an empty query', '/api?', '/api'],
  ['a query with everything a query may have', '/a?b=//../;x=%2f%zz\\&c[]=?', '/a'],
  ['every character a path may have', "/A-z_0.9~!$&'()*+,=:@", "/A-z_0.9~!$&'()*+,=:@"],
  ['what browsers do not encode', '/[slug]/a|b^c', '/[slug]/a|b^c'],
  ['dots within a segment', '/a..b/.well-known/file.txt/v1.', '/a..b/.well-known/file.txt/v1.'],
  ['encoded space', '/my%20file', '/my file'],
  ['encoded UTF-8, either case', '/caf%c3%A9', '/café'],
  ['encoded reserved characters', '/users/a%40b.example%3A1%2B2', '/users/a@b.example:1+2'],
  ['encoded question mark and number sign', '/c%23/why%3F', '/c#/why?'],
  ['an encoded tilde of an old encoder', '/%7Eann/%7ebob', '/~ann/~bob'],
  ['a percent sign that is no escape again', '/100%25', '/100%'],
  ['a percent sign before one digit', '/100%25/1', '/100%/1'],
]

test('accepts what has one reading, and forwards it as it came', async (t) => {
  for (const [name, target, path] of ACCEPTED)
    t.same(readTarget('GET', target), { ok: true, value: target, path }, name)
})

const REFUSED: [name: string, target: string, reason: TargetRefusal][] = [
  ['nothing', '', 'target_form'],
  ['absolute form', 'http://upstream/admin', 'target_form'],
  ['authority form', 'upstream:443', 'target_form'],
  ['asterisk form', '*', 'target_form'],
  ['no slash', 'admin', 'target_form'],
  ['a query alone', '?a', 'target_form'],
  ['a space', '/a b', 'target_characters'],
  ['a space in the query', '/a?b c', 'target_characters'],
  ['a fragment', '/a#b', 'target_characters'],
  ['a fragment in the query', '/a?b#c', 'target_characters'],
  ['a control character', '/a\tb', 'target_characters'],
  ['a NUL', '/a\0', 'target_characters'],
  ['DEL', '/a\x7f', 'target_characters'],
  ['a line break', '/a\r\nHost: b', 'target_characters'],
  ['a line break at the end', '/a\n', 'target_characters'],
  ['beyond ASCII', '/é', 'target_characters'],
  ['beyond ASCII in the query', '/?é', 'target_characters'],
  ['backslash', '/a\\b', 'path_characters'],
  ['semicolon', '/a;b=c', 'path_characters'],
  ['a matrix parameter that hides a dot segment', '/..;/admin', 'path_characters'],
  ['quotation mark', '/"', 'path_characters'],
  ['angle brackets', '/<a>', 'path_characters'],
  ['braces', '/{a}', 'path_characters'],
  ['two slashes', '//', 'path_segments'],
  ['network path', '//upstream/admin', 'path_segments'],
  ['two slashes within', '/a//b', 'path_segments'],
  ['two slashes at the end', '/a//', 'path_segments'],
  ['a dot', '/.', 'path_segments'],
  ['a dot segment', '/a/./b', 'path_segments'],
  ['a dot segment at the end', '/a/.', 'path_segments'],
  ['two dots', '/..', 'path_segments'],
  ['parent segment', '/a/../b', 'path_segments'],
  ['parent segment before the query', '/a/..?b', 'path_segments'],
  ['three dots', '/a/.../b', 'path_segments'],
  ['dots and spaces', '/a/..%20/b', 'path_segments'],
  ['a space at the end of a segment', '/admin%20/a', 'path_segments'],
  ['a space at the end', '/admin%20', 'path_segments'],
  ['a space at the beginning of a segment', '/%20admin', 'path_segments'],
  ['a segment of spaces', '/a/%20/b', 'path_segments'],
  ['encoded dot', '/a/%2e/b', 'path_escapes'],
  ['encoded dots, both cases', '/a/%2e%2E/b', 'path_escapes'],
  ['dot and encoded dot', '/a/.%2e/b', 'path_escapes'],
  ['encoded dot in a name', '/file%2Etxt', 'path_escapes'],
  ['encoded slash', '/a%2fb', 'path_escapes'],
  ['encoded slash, upper case', '/a%2Fb', 'path_escapes'],
  ['encoded backslash', '/a%5cb', 'path_escapes'],
  ['encoded semicolon', '/a%3Bb', 'path_escapes'],
  ['encoded NUL', '/a%00', 'path_escapes'],
  ['encoded line break', '/a%0d%0a', 'path_escapes'],
  ['encoded DEL', '/a%7f', 'path_escapes'],
  ['encoded C1 control character', '/a%C2%85', 'path_escapes'],
  ['encoded letter', '/%61dmin', 'path_escapes'],
  ['encoded capital letter', '/%41dmin', 'path_escapes'],
  ['encoded digit', '/v%31', 'path_escapes'],
  ['encoded hyphen', '/a%2Db', 'path_escapes'],
  ['encoded underscore', '/a%5Fb', 'path_escapes'],
  ['twice encoded dot', '/%252e%252e/admin', 'path_escapes'],
  ['twice encoded slash', '/a%252fb', 'path_escapes'],
  ['thrice encoded slash', '/a%25252fb', 'path_escapes'],
  ['percent sign encoded in parts', '/a%25%32%66b', 'path_escapes'],
  ['an escape cut short', '/a%2', 'path_escapes'],
  ['a percent sign alone', '/100%', 'path_escapes'],
  ['no hexadecimal digits', '/a%zz', 'path_escapes'],
  ['a Unicode escape of one vendor', '/a%u002e', 'path_escapes'],
  ['overlong UTF-8 of a slash', '/a%c0%af', 'path_escapes'],
  ['a lone continuation byte', '/a%80', 'path_escapes'],
  ['a surrogate in UTF-8', '/a%ed%a0%80', 'path_escapes'],
]

test('path confusion (CVE-2026-33494, CVE-2021-31920, CVE-2021-39156): refuses what has two readings', async (t) => {
  for (const [name, target, reason] of REFUSED) t.same(readTarget('GET', target), { ok: false, reason }, name)
})

test('knows the usual methods in their one spelling', async (t) => {
  for (const method of METHODS) t.equal(readTarget(method, '/').ok, true, method)
  for (const method of ['CONNECT', 'TRACE', 'get', 'PROPFIND', 'PRI', '', 'GET ', '__proto__']) {
    t.same(readTarget(method, '/'), { ok: false, reason: 'method' }, JSON.stringify(method))
  }
})

test('is bounded in length', async (t) => {
  t.equal(readTarget('GET', `/${'a'.repeat(MAX_TARGET_BYTES - 1)}`).ok, true)
  t.same(readTarget('GET', `/${'a'.repeat(MAX_TARGET_BYTES)}`), { ok: false, reason: 'target_length' })
  t.same(readTarget('GET', `/?${'a'.repeat(MAX_TARGET_BYTES)}`), { ok: false, reason: 'target_length' })
})

test('what is accepted is read alike by other parsers', async (t) => {
  let accepted = 0
  fc.assert(
    fc.property(targets, (text) => {
      const target = readTarget('GET', text)
      if (!target.ok) return
      accepted++
      const raw = text.split('?', 1)[0]!
      const encoded = (path: string) => path.replace(/[|^[\]]/g, encodeURIComponent)
      if (encoded(new URL(`http://host${text}`).pathname) !== encoded(raw))
        throw new Error('WHATWG URL reads another path')
      if (posix.normalize(target.path) !== target.path) throw new Error('normalising changes the path')
      if (target.path.split('/').length !== raw.split('/').length) throw new Error('decoding adds a segment')
      if (decodedAgain(target.path) !== target.path) throw new Error('decoding twice gives another path')
    }),
    { numRuns: 5000 },
  )
  t.ok(accepted > 200, `${accepted} were accepted`)
})

function decodedAgain(path: string): string {
  return path.replace(/(?:%[0-9a-f]{2})+/gi, (escapes) => {
    try {
      return decodeURIComponent(escapes)
    } catch {
      return escapes
    }
  })
}
