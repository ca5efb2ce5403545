/** Calls about accounts, invitations and running the server. */

import type {
  Account,
  ApiToken,
  AuditEntry,
  Invitation,
  InvitationPreview,
  SessionInfo,
} from '../protocol/trust';
import type { CommandReceipt, Page, RoomId, UserId } from '../protocol/types';
import { type Caller, seg } from './http';
import type { TrustApi } from './index';

export function trustCalls(call: Caller): TrustApi {
  return {
    ...accountCalls(call),
    ...invitationCalls(call),
    ...tokenCalls(call),
    ...adminCalls(call),
  };
}

function accountCalls(call: Caller) {
  return {
    sessions: () => call<Page<SessionInfo>>({ method: 'GET', path: 'auth/sessions' }),
    endSession: (id) => call<void>({ method: 'DELETE', path: `auth/sessions/${seg(id)}` }),
    endSessions: () => call<void>({ method: 'DELETE', path: 'auth/sessions' }),
    changePassword: (currentPassword, newPassword) => {
      const body = { currentPassword, newPassword };
      return call<void>({ method: 'POST', path: 'users/me/password', body });
    },
    requestReset: (login) =>
      call<void>({ method: 'POST', path: 'auth/reset/request', body: { login } }),
    resetPassword: (token, newPassword) =>
      call<void>({ method: 'POST', path: 'auth/reset', body: { token, newPassword } }),
  } satisfies Partial<TrustApi>;
}

function invitationCalls(call: Caller) {
  return {
    invitations: (roomId, cursor) =>
      call<Page<Invitation>>({ method: 'GET', path: 'invitations', query: { roomId, cursor } }),
    invite: (body) => call<Invitation>({ method: 'POST', path: 'invitations', body }),
    revokeInvitation: (id) => call<void>({ method: 'DELETE', path: `invitations/${seg(id)}` }),
    lookAtInvitation: (token) =>
      call<InvitationPreview>({ method: 'POST', path: 'invitations/look', body: { token } }),
    acceptInvitation: (token) => {
      const path = 'invitations/accept';
      return call<CommandReceipt & { roomId: RoomId }>({ method: 'POST', path, body: { token } });
    },
  } satisfies Partial<TrustApi>;
}

/** Where the tokens of a bot are, or one's own. */
function tokensOf(bot: UserId | undefined): string {
  return bot === undefined ? 'users/me/tokens' : `admin/bots/${seg(bot)}/tokens`;
}

function tokenCalls(call: Caller) {
  return {
    tokens: (bot) => call<Page<ApiToken>>({ method: 'GET', path: tokensOf(bot) }),
    makeToken: (body, bot) => call<ApiToken>({ method: 'POST', path: tokensOf(bot), body }),
    endToken: (id, bot) => call<void>({ method: 'DELETE', path: `${tokensOf(bot)}/${seg(id)}` }),
  } satisfies Partial<TrustApi>;
}

function adminCalls(call: Caller) {
  return {
    accounts: ({ q, cursor, bot }) => {
      const query = { q: q === '' ? undefined : q, cursor, bot: bot?.toString() };
      return call<Page<Account>>({ method: 'GET', path: 'admin/users', query });
    },
    account: (id) => call<Account>({ method: 'GET', path: `admin/users/${seg(id)}` }),
    makeBot: (body) => call<Account>({ method: 'POST', path: 'admin/bots', body }),
    changeAccount: (id, body) =>
      call<Account>({ method: 'PATCH', path: `admin/users/${seg(id)}`, body }),
    resetLink: (id) =>
      call<{ token: string }>({ method: 'POST', path: `admin/users/${seg(id)}/reset`, body: {} }),
    audit: (cursor) =>
      call<Page<AuditEntry>>({ method: 'GET', path: 'admin/audit', query: { cursor } }),
  } satisfies Partial<TrustApi>;
}
