import { BlockList, isIP, type Socket } from 'node:net'

/** Whether a peer's word about who sent a request counts. */
export type IsTrusted = (address: string) => boolean

/** @param networks addresses and CIDR networks */
export function trustedPeers(networks: readonly string[]): IsTrusted {
  if (networks.length === 0) return () => false
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', bits] = network.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    list.addSubnet(address, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family)
  }
  return (address) => list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

/** The address of the other end; an IPv4 address stays one on a socket that listens to both families. */
export function peerAddress(socket: Socket): string {
  const address = socket.remoteAddress ?? ''
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}
