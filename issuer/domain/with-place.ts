import type { PasswordHasher } from './ports.ts'

/**
 * The same use case, begun only with a place on the way to the hashing lane: of a storm of logins all but a few are
 * refused before they cost a store anything, whichever route they come by.
 * @throws HashingOverloaded besides what it throws itself
 */
export function withPlace<Input extends unknown[], Result>(
  { enter }: Pick<PasswordHasher, 'enter'>,
  useCase: (...input: Input) => Promise<Result>,
): (...input: Input) => Promise<Result> {
  return async (...input) => {
    const leave = enter()
    try {
      return await useCase(...input)
    } finally {
      leave()
    }
  }
}
