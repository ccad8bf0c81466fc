import { randomUUID } from 'node:crypto'
import { test } from 'tap'
import { ADAPTERS, aClient } from '../helpers/stores.ts'

const NOW = 1_800_000_000_000

for (const { name, skip, place } of ADAPTERS) {
  test(`service clients in ${name}`, { skip }, async (t) => {
    const here = await place(t)
    const [{ clients }, { clients: others }] = await Promise.all([here.open(), here.open()])

    t.test('they are listed by id, page by page', async (t) => {
      t.same(await clients.list(undefined, 10), [])
      const written = Array.from({ length: 5 }, () => aClient()).sort((a, b) => (a.id < b.id ? -1 : 1))
      for (const client of written) await clients.insert(client)
      t.same(await others.list(undefined, 2), written.slice(0, 2))
      t.same(await others.list(written[1]!.id, 10), written.slice(2))
      t.same(await others.list(written[4]!.id, 10), [])
    })

    t.test('a client is found by its id as it was written, and one that is not there is undefined', async (t) => {
      const client = aClient({
        name: 'Bestellungen "Süd" 🚪',
        permissions: [],
        isActive: false,
        epoch: 7,
        previousSecretHash: 'before',
        previousSecretUntil: NOW,
      })
      await clients.insert(client)
      t.same(await others.byId(client.id), client)
      const nobody = randomUUID()
      t.equal(await clients.byId(nobody), undefined)
      t.equal(await clients.update(nobody, { name: 'x' }, true), undefined)
      t.equal(
        await clients.rotateSecret(nobody, { secretHash: 'x', previousUntil: null, nowMs: NOW }, false),
        undefined,
      )
      t.equal(await clients.delete(nobody), false)
    })

    t.test('a query operator in place of a text finds, changes and deletes nobody', async (t) => {
      const client = aClient()
      await clients.insert(client)
      const operator = { $ne: null } as unknown as string
      t.equal(await clients.byId(operator).catch(() => undefined), undefined)
      t.equal(await clients.update(operator, { isActive: false }, true).catch(() => undefined), undefined)
      t.equal(await clients.delete(operator).catch(() => false), false)
      t.same(await clients.byId(client.id), client)
    })

    t.test('a change touches what it names, and the epoch only when it is told to', async (t) => {
      const client = aClient()
      await clients.insert(client)
      const change = { permissions: ['orders:read'], isActive: false, updatedAt: NOW, name: undefined }
      const after = { ...client, permissions: ['orders:read'], isActive: false, updatedAt: NOW }
      t.same(await others.update(client.id, change, false), after)
      t.same(await others.update(client.id, {}, true), { ...after, epoch: 1 })
      t.same(await clients.update(client.id, { isActive: true }, false), { ...after, epoch: 1, isActive: true })
      t.same(await clients.byId(client.id), { ...after, epoch: 1, isActive: true })
    })

    t.test('a secret rotates: the present one becomes the one before, or is gone', async (t) => {
      const client = aClient({ secretHash: 'first' })
      await clients.insert(client)
      const overlapping = { secretHash: '$second', previousUntil: NOW + 1000, nowMs: NOW }
      const second = {
        ...client,
        secretHash: '$second',
        previousSecretHash: 'first',
        previousSecretUntil: NOW + 1000,
        updatedAt: NOW,
      }
      t.same(await others.rotateSecret(client.id, overlapping, false), second)
      const third = { ...second, secretHash: 'third', previousSecretHash: null, previousSecretUntil: null, epoch: 1 }
      const atOnce = { secretHash: 'third', previousUntil: null, nowMs: NOW }
      t.same(await others.rotateSecret(client.id, atOnce, true), third)
      t.same(await clients.byId(client.id), third)
    })

    t.test('of rotations and changes at once each takes effect', async (t) => {
      const client = aClient({ secretHash: 'hash-0' })
      await clients.insert(client)
      await Promise.all(
        Array.from({ length: 10 }, (_, n) => [
          clients.rotateSecret(client.id, { secretHash: `hash-${n + 1}`, previousUntil: NOW, nowMs: NOW }, true),
          others.update(client.id, { name: `name-${n}` }, true),
        ]).flat(),
      )
      const after = await clients.byId(client.id)
      t.equal(after?.epoch, 20)
      t.match(after, { secretHash: /^hash-\d+$/, previousSecretHash: /^hash-\d+$/, name: /^name-/ })
      t.not(after?.secretHash, after?.previousSecretHash)
    })

    t.test('who is deleted is gone', async (t) => {
      const client = aClient()
      await clients.insert(client)
      t.equal(await others.delete(client.id), true)
      t.equal(await clients.delete(client.id), false)
      t.equal(await clients.byId(client.id), undefined)
    })
  })
}
