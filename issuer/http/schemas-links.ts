import { Type } from '@sinclair/typebox'
import { Email, exactly, Password } from './schemas.ts'

const Token = Type.String({ maxLength: 64, description: 'The token of the mailed link' })

export const AddressBody = exactly({ email: Email })
export const VerifyEmailBody = exactly({ token: Token })
export const ResetPasswordBody = exactly({ token: Token, password: Password })
export const MessageAnswer = Type.Object({ message: Type.String() })
