import { test } from 'tap'
import { appended, completed, pointer } from '../../../../sidecar/injector/domain/json-patch.ts'

test('a pointer escapes what would lead elsewhere', async (t) => {
  t.equal(pointer('metadata', 'labels', 'example.com/a~b'), '/metadata/labels/example.com~1a~0b')
  t.equal(pointer('~1'), '/~01', 'in the right order')
})

test('lists are made or added to, never written anew', async (t) => {
  t.strictSame(appended('/a', false, [1, 2]), [{ op: 'add', path: '/a', value: [1, 2] }])
  t.strictSame(appended('/a', true, [1, 2]), [
    { op: 'add', path: '/a/-', value: 1 },
    { op: 'add', path: '/a/-', value: 2 },
  ])
  t.strictSame(appended('/a', false, []), [])
})

test('objects get the members they lack, also those that every object inherits', async (t) => {
  t.strictSame(completed('/a', undefined, { 'x/y': '1' }), [{ op: 'add', path: '/a', value: { 'x/y': '1' } }])
  t.strictSame(completed('/a', { b: '0' }, { b: '1', 'x/y': '1', constructor: '2' }), [
    { op: 'add', path: '/a/x~1y', value: '1' },
    { op: 'add', path: '/a/constructor', value: '2' },
  ])
  t.strictSame(completed('/a', { b: '0' }, { b: '1' }), [])
})
