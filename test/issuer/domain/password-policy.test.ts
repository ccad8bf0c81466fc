import { test } from 'tap'
import { COMMON_PASSWORDS } from '../../../issuer/domain/common-passwords.ts'
import { fold } from '../../../issuer/domain/normal-form.ts'
import { passwordProblems } from '../../../issuer/domain/password-policy.ts'

test('passwords', async (t) => {
  const names = ['alice.smith@example.com', 'AliceInChains']
  const rows: [name: string, password: string, problem: RegExp | undefined][] = [
    ['a phrase', 'a long enough pass phrase', undefined],
    ['eight characters', 'x7#kQ9w!', undefined],
    ['seven', 'x7#kQ9w', /at least 8/],
    [
      'eight code points outside the BMP',
      '\u{1f600}\u{1f601}\u{1f602}\u{1f603}\u{1f604}\u{1f605}\u{1f606}\u{1f607}',
      undefined,
    ],
    ['seven letters in sixteen code points', 'e\u0301'.repeat(7), /at least 8/],
    ['1024 bytes', 'xy'.repeat(512), undefined],
    ['1025 bytes', `${'xy'.repeat(512)}z`, /at most 1024/],
    ['1025 bytes of few characters', '\u{1f600}\u{1f601}'.repeat(129), /at most 1024/],
    ['half a character', '\ud800abcdefghij', /Unicode/],
    ['a common one', 'iloveyou', /guessed first/],
    ['in capitals', 'ILOVEYOU', /guessed first/],
    ['in full width', '\uff49loveyou', /guessed first/],
    ['with digits after it', 'Password2024!', /guessed first/],
    ['one character', 'zzzzzzzzzz', /guessed first/],
    ['a row of digits', '23456789', /guessed first/],
    ['the address', 'Alice.Smith@Example.com', /user name or the e-mail/],
    ['the local part', 'alice.smith', /user name or the e-mail/],
    ['the user name', 'aliceinchains', /user name or the e-mail/],
  ]
  for (const [name, password, problem] of rows) {
    const problems = passwordProblems(password, names)
    if (problem) t.match(problems, [problem], name)
    else t.same(problems, [], name)
  }
  t.equal(passwordProblems('12345', ['12345']).length, 3, 'all that is wrong at once')
})

test('the list holds folded words, or they would never match', async (t) => {
  t.ok(COMMON_PASSWORDS.size > 500)
  t.same(
    [...COMMON_PASSWORDS].filter((word) => fold(word) !== word),
    [],
  )
})
