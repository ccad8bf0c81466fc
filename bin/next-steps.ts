export interface Running {
  issuerUrl: string
  sidecarUrl: string
  adminUrl: string
  /** The service that the sidecar guards; none: the demo service. */
  upstream: string | undefined
  dataDir: string
}

/** What to try next, to be copied line by line into a shell that has curl. */
export function nextSteps({ issuerUrl, sidecarUrl, adminUrl, upstream, dataDir }: Running): string {
  const credentials = `'{"email":"ada@example.com","password":"correct horse battery"}'`
  const json = `-H 'content-type: application/json'`
  return `
Sallyport is up.

  issuer    ${issuerUrl}      try its interface at ${issuerUrl}/docs
  sidecar   ${sidecarUrl}      in front of ${upstream ?? 'the demo service'}
  admin     ${adminUrl}      /readyz  /metrics  /revocations
  data      ${dataDir}

Copy and paste, line by line:

  # 1. register
  curl -s ${issuerUrl}/auth/register ${json} -d ${credentials}

  # 2. log in, and keep the access token
  TOKEN=$(curl -s -c cookies.txt ${issuerUrl}/auth/login ${json} -d ${credentials} | sed -E 's/.*"access_token":"([^"]+)".*/\\1/')

  # 3. call the service through the sidecar: see the identity headers it received
  curl -s ${sidecarUrl}/hello -H "authorization: Bearer $TOKEN"

  # 4. log out
  curl -s -X POST ${issuerUrl}/auth/logout -H "authorization: Bearer $TOKEN"

  # 5. the same call again: refused
  curl -si ${sidecarUrl}/hello -H "authorization: Bearer $TOKEN"

Ctrl-C ends everything.

`
}
