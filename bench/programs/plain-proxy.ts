import httpProxy from '@fastify/http-proxy'
import Fastify from 'fastify'

// What a team would have without Sallyport: the proxy plug-in as its documentation shows it. It checks nothing.

const app = Fastify()
app.register(httpProxy, { upstream: process.env.UPSTREAM! })
process.stdout.write(`listening on ${await app.listen({ host: '127.0.0.1', port: 0 })}\n`)
