import type { PeerTask } from './haproxy.ts'

/**
 * Envoy with jwt_authn and nothing else; JSON is YAML. It checks signature, issuer, audience and expiry, and names the
 * user to the service.
 * @param cacheSize how many verified tokens it keeps; 0: none, as by default
 */
export function envoyConfiguration({ port, service, issuer, audience, key }: PeerTask, cacheSize: number): string {
  const [host, servicePort] = service.split(':')
  const jwk = { ...key.key.export({ format: 'jwk' }), kid: key.kid, alg: key.alg, use: 'sig' }
  const address = (name: string, number: number) => ({ socket_address: { address: name, port_value: number } })
  const type = (name: string) => `type.googleapis.com/envoy.extensions.filters.${name}`
  const provider = {
    issuer,
    audiences: [audience],
    local_jwks: { inline_string: JSON.stringify({ keys: [jwk] }) },
    forward: true,
    claim_to_headers: [{ header_name: 'x-user-id', claim_name: 'sub' }],
    ...(cacheSize > 0 && { jwt_cache_config: { jwt_cache_size: cacheSize } }),
  }
  const manager = {
    '@type': type('network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'proxy',
    http_filters: [
      {
        name: 'jwt',
        typed_config: {
          '@type': type('http.jwt_authn.v3.JwtAuthentication'),
          providers: { issuer: provider },
          rules: [{ match: { prefix: '/' }, requires: { provider_name: 'issuer' } }],
        },
      },
      { name: 'router', typed_config: { '@type': type('http.router.v3.Router') } },
    ],
    route_config: {
      virtual_hosts: [
        { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'service' } }] },
      ],
    },
  }
  return JSON.stringify({
    static_resources: {
      listeners: [
        {
          name: 'proxy',
          address: address('127.0.0.1', port),
          filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
        },
      ],
      clusters: [
        {
          name: 'service',
          type: 'STATIC',
          connect_timeout: '5s',
          load_assignment: {
            cluster_name: 'service',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(host!, Number(servicePort)) } }] }],
          },
        },
      ],
    },
  })
}
