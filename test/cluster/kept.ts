/**
 * What of an object is missing or other in what the API server made of it, as paths; what it added is not told. An empty
 * list or object and none are the same to it.
 */
export function dropped(wanted: unknown, found: unknown, path = ''): string[] {
  if (isNothing(wanted)) return isNothing(found) ? [] : [`${path}: is ${JSON.stringify(found)}`]
  if (Array.isArray(wanted)) {
    if (!Array.isArray(found) || found.length !== wanted.length) return [`${path}: is ${JSON.stringify(found)}`]
    return wanted.flatMap((item, index) => dropped(item, found[index], `${path}[${index}]`))
  }
  if (typeof wanted === 'object' && wanted !== null) {
    if (typeof found !== 'object' || found === null) return [`${path}: is ${JSON.stringify(found)}`]
    return Object.entries(wanted).flatMap(([name, value]) =>
      dropped(value, (found as Record<string, unknown>)[name], `${path}.${name}`),
    )
  }
  return wanted === found ? [] : [`${path}: is ${JSON.stringify(found)} and not ${JSON.stringify(wanted)}`]
}

function isNothing(value: unknown): boolean {
  return (
    value === undefined ||
    value === null ||
    value === '' ||
    (typeof value === 'object' && Object.keys(value).length === 0)
  )
}
