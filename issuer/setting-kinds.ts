import { duration, type Kind } from '../shared/settings.ts'
import { DEFAULT_RATE_LIMITS, type RateLimits, readRateLimits, showRateLimits } from './domain/rate-limits.ts'

// Kinds of settings that only the issuer has.

// `new URL` refuses the several hosts that a MongoDB address may name.
export const mongoUrl: Kind<string> = {
  read: (value) => (/^mongodb(\+srv)?:\/\/[^\s/]+/.test(value) ? value : undefined),
  expects: 'an address that begins with mongodb:// or mongodb+srv://',
}

export const smtpUrl: Kind<string> = {
  read: (value) => {
    const parsed = /^smtps?:\/\/[!-~]+$/.test(value) && URL.canParse(value) ? new URL(value) : undefined
    return parsed?.hostname && /^\/?$/.test(parsed.pathname + parsed.search + parsed.hash) ? value : undefined
  },
  expects: 'an address such as smtp://user:password@mail.example.com:587 or smtps://mail.example.com',
}

export const mailFrom: Kind<string> = {
  read: (value) =>
    /^(?:[^<>@\p{C}]{1,100}<[^<>\s\p{C}]+@[^<>\s\p{C}]+>|[^<>\s\p{C}]+@[^<>\s\p{C}]+)$/u.test(value)
      ? value
      : undefined,
  expects: 'an e-mail address, or a name and one: Example <no-reply@example.com>',
}

export const origin: Kind<string> = {
  read: (value) =>
    /^https?:/.test(value) && URL.canParse(value) && new URL(value).origin === value ? value : undefined,
  expects: 'an origin such as https://app.example.com (no path, no final slash)',
}

export const rateLimits: Kind<RateLimits> = {
  read: readRateLimits,
  expects: `off, or limits such as login=5/1m,read=off of: ${Object.keys(DEFAULT_RATE_LIMITS).join(', ')}`,
  show: showRateLimits,
}

const rotationPeriod = duration('1s', '3650d')

/** A period, or 0 for none. */
export const keyRotation: Kind<number> = {
  ...rotationPeriod,
  read: (value) => (value === 'off' ? 0 : rotationPeriod.read(value)),
  expects: `off, or ${rotationPeriod.expects}`,
}
