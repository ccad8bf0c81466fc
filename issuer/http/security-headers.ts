import helmet from '@fastify/helmet'
import { type FastifyInstance, fastify } from 'fastify'

/**
 * What browsers are told of every answer. Helmet knows what that is and says the same each time, but puts it together
 * anew for each request, a twentieth of all that a refresh costs; so it is asked once.
 */
export async function addSecurityHeaders(app: FastifyInstance): Promise<void> {
  const headers = await helmetHeaders()
  app.addHook('onRequest', (_request, reply, done) => {
    reply.headers(headers)
    done()
  })
}

async function helmetHeaders(): Promise<Record<string, string>> {
  const sample = fastify()
  await sample.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  })
  // Helmet writes on the bare response, where there is nothing else yet.
  sample.setNotFoundHandler(async (_request, reply) => reply.raw.getHeaders())
  const answer = await sample.inject('/')
  await sample.close()
  return answer.json()
}
