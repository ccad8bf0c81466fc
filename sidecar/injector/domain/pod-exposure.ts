import type { PodContainer } from './pod.ts'

const EVERY_ADDRESS = /(?:(?<![0-9.])0\.0\.0\.0|(?<![^\s=/,;'"[])::0?\]?)(?![0-9./])(?::(\d+))?/g

/** Whether a text has every address in it, without a port or with this one. */
function isEverywhere(text: string, port: number): boolean {
  return [...text.matchAll(EVERY_ADDRESS)].some(([, said]) => said === undefined || Number(said) === port)
}

/**
 * Whether a service looks as if others could reach it around its sidecar: a port that is only on 127.0.0.1 need not be
 * declared, and the kubelet can't ask there.
 * @returns a text that says why, and what to do
 */
export function exposed(containers: readonly PodContainer[], upstream: number | undefined): string | undefined {
  if (upstream === undefined) return undefined
  const around = `others reach the service around its sidecar, unless it listens on 127.0.0.1 or a NetworkPolicy forbids it (injected.namespaces)`
  for (const { name, ports, probed, told } of containers) {
    const names = ports.filter(({ port }) => port === upstream).map((one) => one.name)
    const isProbed = probed.some(
      (port) => port === upstream || (typeof port === 'string' && port !== '' && names.includes(port)),
    )
    if (isProbed) return `container ${name}: the kubelet asks at port ${upstream}: ${around}`
    if (told.some((text) => isEverywhere(text, upstream)))
      return `container ${name}: it is told to listen on every address: ${around}`
    if (names.length > 0) return `container ${name}: port ${upstream} is declared: ${around}`
  }
  return undefined
}
