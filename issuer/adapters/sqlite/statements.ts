/** `INSERT INTO table (a, b) VALUES (:a, :b)`: each column takes the parameter of its own name. */
export function insertInto(table: string, columns: readonly string[]): string {
  return `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map((name) => `:${name}`).join(', ')})`
}
