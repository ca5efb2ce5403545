import type { Scope } from '../../protocol/trust';

/** What each use of a token is called: in a list, and where it is chosen. */
export const SCOPES: Readonly<Record<Scope, { short: string; label: string; hint: string }>> = {
  read: { short: 'read', label: 'Read', hint: 'See rooms, messages and people, and get events.' },
  write: { short: 'write', label: 'Write', hint: 'Send messages, and do what is done in rooms.' },
  admin: {
    short: 'run the server',
    label: 'Run the server',
    hint: 'Accounts, invitations, the audit log. Few programs need this.',
  },
};
