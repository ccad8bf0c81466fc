import { SUPERUSER_ROLE } from '../../issuer/domain/user.ts'
import type { Answer, BuiltIssuer } from './build.ts'

export interface ServiceClient {
  client_id: string
  client_secret: string
}

/** The access token of a new user with these roles. */
export async function tokenWithRoles(issuer: BuiltIssuer, roles: string[]): Promise<string> {
  const user = await issuer.register()
  await issuer.parts.users.update(user.id, { roles })
  return (await issuer.login(user)).access_token
}

export const superuserToken = (issuer: BuiltIssuer) => tokenWithRoles(issuer, [SUPERUSER_ROLE])

/** A new service client, made through the admin interface. */
export async function createClient(
  issuer: BuiltIssuer,
  permissions: string[] = ['orders:read', 'orders:write'],
): Promise<ServiceClient> {
  const token = await superuserToken(issuer)
  const { status, body } = await issuer.call('POST', '/admin/clients', {
    token,
    json: { name: 'reports', permissions },
  })
  if (status !== 201) throw new Error(`create client: ${status} ${JSON.stringify(body)}`)
  return body
}

/** HTTP Basic as RFC 6749 section 2.3.1 has it. */
export function basic({ client_id, client_secret }: ServiceClient): Record<string, string> {
  const encode = (text: string) => new URLSearchParams({ x: text }).toString().slice(2)
  const credentials = Buffer.from(`${encode(client_id)}:${encode(client_secret)}`).toString('base64')
  return { authorization: `Basic ${credentials}` }
}

/** A POST with a form, as OAuth clients send it. */
export async function postForm(
  issuer: BuiltIssuer,
  path: string,
  form: Record<string, string> | string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const payload = typeof form === 'string' ? form : new URLSearchParams(form).toString()
  const type = { 'content-type': 'application/x-www-form-urlencoded' }
  const response = await issuer.app.inject({ method: 'POST', url: path, headers: { ...type, ...headers }, payload })
  const body = response.body === '' ? '' : JSON.parse(response.body)
  return { status: response.statusCode, headers: response.headers, body }
}

/** An access token by the client credentials grant. */
export async function clientToken(issuer: BuiltIssuer, client: ServiceClient, scope?: string): Promise<string> {
  const form = { grant_type: 'client_credentials', ...(scope !== undefined && { scope }) }
  const { status, body } = await postForm(issuer, '/auth/token', form, basic(client))
  if (status !== 200) throw new Error(`client credentials: ${status} ${JSON.stringify(body)}`)
  return body.access_token
}
