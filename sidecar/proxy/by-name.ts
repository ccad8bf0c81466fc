const MAX_NAMES = 1000
/** Longer ones are made up: characters. */
const MAX_NAME_CHARACTERS = 64

/**
 * Remembers what was found for each field name, for names recur. Clients choose them: when there are too many, all are
 * forgotten, so that those of one client neither stay nor keep out those of all others.
 */
export function byName<Found>(find: (name: string) => Found): (name: string) => Found {
  const known = new Map<string, Found>()
  return (name) => {
    const found = known.get(name)
    if (found !== undefined || known.has(name)) return found as Found
    const made = find(name)
    if (name.length > MAX_NAME_CHARACTERS) return made
    if (known.size >= MAX_NAMES) known.clear()
    known.set(name, made)
    return made
  }
}
