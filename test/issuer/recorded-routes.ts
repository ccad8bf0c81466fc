import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'

/** The part of JSON Schema that the routes use. */
export interface Schema {
  type?: string
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  anyOf?: Schema[]
  const?: unknown
  enum?: unknown[]
  format?: string
  pattern?: string
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
  minProperties?: number
  maxItems?: number
}

export interface RecordedRoute {
  method: string
  url: string
  schema: { body?: Schema; querystring?: Schema; params?: Schema; tags?: string[] }
}

/** Every route of the apps that are built meanwhile, those that no document shows among them. */
export async function recordRoutes<T>(build: () => Promise<T>): Promise<{ built: T; routes: RecordedRoute[] }> {
  const routes: RecordedRoute[] = []
  const listen = (message: unknown) => {
    const { fastify: app } = message as { fastify: FastifyInstance }
    app.addHook('onRoute', ({ method, url, schema = {} }) => {
      for (const name of [method].flat()) routes.push({ method: name, url, schema: schema as RecordedRoute['schema'] })
    })
  }
  subscribe('fastify.initialization', listen)
  try {
    return { built: await build(), routes }
  } finally {
    unsubscribe('fastify.initialization', listen)
  }
}
