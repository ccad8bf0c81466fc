import type fc from 'fast-check'

/**
 * Lets the scheduler decide when each call of a port begins.
 * @param scheduler `undefined` while calls are to go straight through
 */
export function scheduled<P extends object>(port: P, scheduler: () => fc.Scheduler | undefined): P {
  return new Proxy(port, {
    get(target, key) {
      const member = Reflect.get(target, key) as (...args: unknown[]) => unknown
      return async (...args: unknown[]) => {
        await scheduler()?.schedule(Promise.resolve(), String(key))
        return member.apply(target, args)
      }
    },
  })
}
