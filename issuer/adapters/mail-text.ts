import type { Mail, MailKind } from '../domain/ports.ts'

interface MailText {
  subject: string
  text: string
}

interface Template {
  subject: string
  /** What the mail says before and after the link. */
  before: string
  /** What the front end is to do with the token; none: the mail has no link. */
  action?: 'verify-email' | 'reset-password'
  after: string
}

/** Nothing that a stranger could have chosen, such as a user name, is in a mail: it would carry their text. */
const TEMPLATES: Record<MailKind, Template> = {
  verify_email: {
    subject: 'Verify your e-mail address',
    before: 'To verify that this address is yours, open this within 24 hours:',
    action: 'verify-email',
    after: 'If you did not ask for this, do nothing.',
  },
  reset_password: {
    subject: 'Set a new password',
    before: 'To set a new password, open this within one hour:',
    action: 'reset-password',
    after: 'It works once, and ends every session. If you did not ask for this, do nothing: your password stays.',
  },
  already_registered: {
    subject: 'You already have an account',
    before:
      'Someone, perhaps you, has tried to register with this address, which has an account already. If that was you and ' +
      'you have forgotten the password, or never set one, open this within one hour to set a new one:',
    action: 'reset-password',
    after: 'If it was not you, do nothing.',
  },
  password_changed: {
    subject: 'Your password was changed',
    before: 'The password of your account was changed, and every session has ended.',
    after: 'If that was not you, ask for a new password at once, and look after your mailbox.',
  },
  email_changed: {
    subject: 'Your e-mail address was changed',
    before:
      'Your account has another e-mail address now. Mails about it go there, and links that were mailed to this address ' +
      'before do not work any more.',
    after: 'If that was not you, tell those who run this site at once.',
  },
}

/**
 * What a mail says.
 * @param page the front end's page that takes the token; without one the mail has the token itself
 */
export function mailText({ kind, token }: Mail, page: string | undefined): MailText {
  const { subject, before, after } = TEMPLATES[kind]
  const link = token === undefined ? [] : [linkOf(kind, token, page) ?? token]
  return { subject, text: [before, ...link, after, ''].join('\n\n') }
}

/**
 * The token is in the fragment: it reaches no server's log and no `Referer`, and a scanner that opens links in mails
 * does not use it up.
 */
export function linkOf(kind: MailKind, token: string, page: string | undefined): string | undefined {
  const { action } = TEMPLATES[kind]
  return page === undefined || action === undefined ? undefined : `${page}#action=${action}&token=${token}`
}
