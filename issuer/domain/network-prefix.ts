import { isIPv4, isIPv6 } from 'node:net'

/**
 * The network whose members are counted as one: an IPv4 address by itself, and of an IPv6 address the first bits, for
 * whoever has one address there has 2^64 of them. An IPv4 address that came in over an IPv6 socket (RFC 4291 section
 * 2.5.5.2) is an IPv4 address; otherwise all of them would be one network.
 * @param ipv6Bits how many bits of an IPv6 address count
 */
export function networkPrefix(address: string | null, ipv6Bits: number): string {
  const bare = address?.split('%', 1)[0] ?? ''
  if (isIPv4(bare)) return bare
  if (!isIPv6(bare)) return 'unknown'
  const groups = ipv6Groups(bare)
  const [g5, g6, g7] = groups.slice(5) as [number, number, number]
  if (g5 === 0xffff && groups.slice(0, 5).every((group) => group === 0)) {
    return [g6 >> 8, g6 & 0xff, g7 >> 8, g7 & 0xff].join('.')
  }
  const kept = groups.map((group, index) => {
    const bits = Math.min(16, Math.max(0, ipv6Bits - 16 * index))
    return group & (0xffff << (16 - bits)) & 0xffff
  })
  return `${kept.map((group) => group.toString(16)).join(':')}/${ipv6Bits}`
}

/** The eight groups of an IPv6 address that is one. */
function ipv6Groups(address: string): number[] {
  // The URL parser leaves one spelling: no dotted quad, no leading zeros (RFC 5952).
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::')
  const read = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)))
  if (tail === undefined) return read(head)
  const [first, last] = [read(head), read(tail)]
  return [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last]
}
