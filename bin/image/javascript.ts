import { stripTypeScriptTypes } from 'node:module'

/** Where the image has Node: an interpreter named by its path needs neither `env` nor a shell. */
export const NODE = '/usr/local/bin/node'

/**
 * A file of this project as the image runs it: without its types, every statement where it was, and with imports of
 * `.js`. Node can do the first at each start, but then keeps 20 MB for it; and its compile cache is of no use in an
 * image, for what it finds depends on the user's id and on the processor.
 * @throws SyntaxError for what is not TypeScript of which the types can be erased
 */
export function toJavaScript(typescript: string): string {
  return stripTypeScriptTypes(typescript)
    .replace(/(?<=(['"])\.\.?\/[\w./-]+)\.ts(?=\1)/g, '.js')
    .replace(/^#!.*/, `#!${NODE}`)
}
