import fc from 'fast-check'
import { test } from 'tap'
import { networkPrefix } from '../../../issuer/domain/network-prefix.ts'

test('addresses of one network are one', async (t) => {
  const rows: [name: string, address: string | null, bits: number, prefix: string][] = [
    ['IPv4', '192.0.2.7', 64, '192.0.2.7'],
    ['IPv4 over an IPv6 socket', '::ffff:192.0.2.7', 64, '192.0.2.7'],
    ['the same in hexadecimal', '::FFFF:c000:0207', 64, '192.0.2.7'],
    ['IPv6', '2001:db8:1:2:3:4:5:6', 64, '2001:db8:1:2:0:0:0:0/64'],
    ['IPv6 in short', '2001:db8::6', 64, '2001:db8:0:0:0:0:0:0/64'],
    ['a site', '2001:db8:1:2ff:3:4:5:6', 56, '2001:db8:1:200:0:0:0:0/56'],
    ['leading zeros', '2001:0db8:0001:0002::', 64, '2001:db8:1:2:0:0:0:0/64'],
    ['a zone', 'fe80::1%eth0', 64, 'fe80:0:0:0:0:0:0:0/64'],
    ['loopback', '::1', 64, '0:0:0:0:0:0:0:0/64'],
    ['no address', null, 64, 'unknown'],
    ['something else', '192.0.2.7:4000', 64, 'unknown'],
    ['a text', 'x'.repeat(10_000), 64, 'unknown'],
  ]
  for (const [name, address, bits, prefix] of rows) t.equal(networkPrefix(address, bits), prefix, name)
})

test('exactly the first bits count', async (t) => {
  const group = fc.integer({ min: 0, max: 0xffff })
  fc.assert(
    fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), fc.nat(127), (groups, bit) => {
      fc.pre(groups.slice(0, 5).some((value) => value > 0))
      const other = groups.map((value, index) => (index === bit >> 4 ? value ^ (0x8000 >> (bit & 15)) : value))
      fc.pre(other.slice(0, 5).some((value) => value > 0))
      const text = (values: number[]) => values.map((value) => value.toString(16)).join(':')
      return (networkPrefix(text(groups), 56) === networkPrefix(text(other), 56)) === bit >= 56
    }),
  )
  t.pass()
})
