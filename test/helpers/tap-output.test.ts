import { test } from 'tap'
import { createTapReader } from './tap-output.ts'

const output = `TAP version 14
1..3
# Subtest: test/good.test.ts
    # Subtest: one
        ok 1 - should be equal
        1..1
    ok 1 - one # time=9.2ms
    
    ok 2 - needs a broker # SKIP kafka can't be had here
    ok 3 - later # TODO
    1..3
    # time=17ms
ok 1 - test/good.test.ts # time=17ms

# Subtest: test/bad.test.ts
    # Subtest: outer
        ok 1 - fine
          ---
          why: nobody wants to know
          ...
        # Subtest: inner
            not ok 1 - should be 2
              ---
              diff: |
                -2
                +1
              ...
            
            1..1
        not ok 2 - inner # time=2ms
          ---
          source: not again
          ...
        
    said by the test itself
        1..2
    not ok 1 - outer # time=3ms
      ---
      source: not again
      ...
    
    1..1
    # time=4ms
not ok 2 - test/bad.test.ts # time=4ms
  ---
  command: node
  ...

# Subtest: test/empty.test.ts
    1..0 # no tests found
not ok 3 - test/empty.test.ts # time=5ms
  ---
  exitCode: 1
  ...

# No coverage generated
# { total: 7, pass: 2, fail: 2, todo: 1, skip: 1 }
# time=99ms
`

test('a run, read line by line', async (t) => {
  const printed: string[] = []
  const reader = createTapReader((line) => printed.push(line))
  t.equal(reader.totals(), undefined, 'no result before the summary')
  for (const line of output.split('\n')) reader.line(line)
  t.same(printed, [
    '✓ test/good.test.ts  17ms',
    "  - skipped: needs a broker (kafka can't be had here)",
    '  - skipped: later',
    '✗ test/bad.test.ts  4ms',
    '    not ok: outer > inner > should be 2',
    '              diff: |',
    '                -2',
    '                +1',
    '    said by the test itself',
    '✗ test/empty.test.ts  5ms',
    '    1..0 # no tests found',
  ])
  t.same(reader.totals(), { passed: 2, failed: 2, skipped: 2 })
  t.same(reader.skipped(), [
    "test/good.test.ts > needs a broker (kafka can't be had here)",
    'test/good.test.ts > later',
  ])
})

test('figures that a test has measured are shown even when all is well', async (t) => {
  const lines: string[] = []
  const reader = createTapReader((line) => lines.push(line))
  const output = [
    '# Subtest: test/good.test.ts',
    '    # Subtest: one',
    '        # measured: p50 2 ms',
    '        # something else',
    '        ok 1 - fine',
    '        1..1',
    '    ok 1 - one # time=9ms',
    '    1..1',
    'ok 1 - test/good.test.ts # time=17ms',
  ]
  for (const line of output) reader.line(line)
  t.same(lines, ['✓ test/good.test.ts  17ms', '    measured: p50 2 ms'])
})
