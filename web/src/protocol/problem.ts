/** What went wrong, in words for people. */

export interface FieldProblem {
  pointer: string;
  code: string;
}

export interface ProblemBody {
  code?: string;
  title?: string;
  detail?: string;
  status?: number;
  errors?: FieldProblem[];
}

/** A refusal or failure with a stable code. Of this side are `another_person`, `offline`, `timeout`, `unreadable`. */
export class Problem extends Error {
  readonly code: string;
  readonly status: number;
  readonly detail: string | undefined;
  readonly errors: readonly FieldProblem[];
  readonly retryAfterMs: number | undefined;

  constructor(body: ProblemBody, retryAfterMs?: number) {
    super(body.title ?? body.code ?? 'problem');
    this.name = 'Problem';
    this.code = body.code ?? 'unknown';
    this.status = body.status ?? 0;
    this.detail = body.detail ?? body.title;
    this.errors = body.errors ?? [];
    this.retryAfterMs = retryAfterMs;
  }
}

/** Codes that programs meet, not people: their detail says enough. */
export const WITHOUT_WORDS: ReadonlySet<string> = new Set([
  'conflicting_parameters',
  'idempotency_key_conflict',
  'invalid_cursor',
  'invalid_header',
  'invalid_parameter',
  'invalid_payload',
  'invalid_position',
  'line_too_long',
  'malformed_json',
  'method_not_allowed',
  'missing_field',
  'not_found',
  'origin_not_allowed',
  'out_of_order',
  'taken',
  'unknown_field',
  'unknown_reference',
  'unknown_type',
  'unsupported_media_type',
  'upgrade_required',
]);

export const WORDS: Readonly<Record<string, string>> = {
  account_locked: 'This account is locked. Please ask an administrator.',
  admin_only: 'Only an administrator may do this.',
  another_person: 'Someone else has signed in in this browser.',
  already_member: 'They are already in this room.',
  body_too_large: 'This is too large to send.',
  busy: 'The server is busy. Please try again in a moment.',
  content_too_long: 'This message is longer than 40,000 characters.',
  csrf_failed: 'This page is out of date. Please load it again.',
  email_taken: 'There is already an account with this e-mail address.',
  forbidden: 'You may not do this here.',
  idempotency_mismatch: 'This message was already sent with other words.',
  insufficient_scope: 'This token may not do that.',
  internal: 'The server had a problem. Please try again.',
  invalid_credentials: 'The name or the password is not right.',
  invalid_field: 'Something in this form is not valid.',
  invalid_invitation: 'This invitation does not work. Please ask whoever sent it for a new link.',
  invalid_refresh_token: 'Please sign in again.',
  invalid_reset_token: 'This link was used already or has ended. Please ask for a new one.',
  invalid_setup_token: 'This setup link is not valid any more.',
  invalid_token: 'Please sign in again.',
  invitation_expired: 'This invitation has ended. Please ask whoever sent it for a new one.',
  invitation_not_found: 'This invitation does not exist any more.',
  invitation_revoked: 'This invitation was taken back. Please ask whoever sent it for a new one.',
  invitation_used_up: 'This invitation was used already. Please ask whoever sent it for a new one.',
  last_admin: 'This is the last administrator of the server: make another one first.',
  last_owner: 'You are the last owner: make someone else owner before you leave.',
  locked_out: 'Too many attempts. Please wait a few minutes.',
  member_not_found: 'They are not in this room.',
  message_deleted: 'This message was deleted.',
  message_not_found: 'This message does not exist any more.',
  name_taken: 'This name is taken.',
  not_yourself: 'You cannot lock yourself out. Another administrator may.',
  offline: 'The server cannot be reached. Check your connection.',
  outcome_unknown:
    'The server could not say whether this was done. Please look before trying again.',
  rate_limited: 'That was a little too fast. Please wait a moment.',
  read_model_behind: 'The server is catching up. Please try again in a moment.',
  registration_closed: 'This server takes no new accounts right now.',
  request_timeout: 'The connection was too slow. Please try again.',
  room_archived: 'This room is archived: it can be read, not written.',
  room_full: 'This room is full.',
  room_not_found: 'This room does not exist, or you may not see it.',
  session_needed: 'Please sign in with your password to do this.',
  session_not_found: 'This session has ended already.',
  session_revoked: 'Your session was ended. Please sign in again.',
  still_running: 'This is still being done. Please wait a moment.',
  storage_full: 'The server has no space left. Please tell an administrator.',
  timeout: 'The server did not answer in time.',
  token_expired: 'Please sign in again.',
  token_not_found: 'This token does not exist any more.',
  too_many: 'You have as many of these as one may have. Take one back first.',
  too_many_subscriptions: 'That is too much to follow at once.',
  unauthorized: 'Please sign in again.',
  unavailable: 'The server cannot do this at the moment. Please try again soon.',
  unreadable: 'The server gave an answer this page does not understand.',
  user_not_found: 'There is no such person.',
  username_taken: 'This user name is taken.',
  wrong_password: 'This is not your password now.',
  wrong_room_type: 'This is not possible in this kind of room.',
};

/** Plain words for any failure; never a code or a stack. */
export function wordsFor(error: unknown): string {
  if (!(error instanceof Problem)) return 'Something went wrong. Please try again.';
  const words = WORDS[error.code];
  if (error.code === 'rate_limited' && error.retryAfterMs !== undefined) {
    const seconds = Math.max(1, Math.ceil(error.retryAfterMs / 1000));
    return `That was a little too fast. Please wait ${seconds} second${seconds === 1 ? '' : 's'}.`;
  }
  if (error.code === 'locked_out' && error.retryAfterMs !== undefined) {
    const minutes = Math.max(1, Math.ceil(error.retryAfterMs / 60_000));
    return `Too many attempts. Please wait ${minutes} minute${minutes === 1 ? '' : 's'}.`;
  }
  return words ?? sentence(error.detail) ?? 'Something went wrong. Please try again.';
}

function sentence(text: string | undefined): string | undefined {
  const trimmed = text?.trim();
  if (!trimmed) return undefined;
  const capital = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

/** The words for one form field (`/username`), if the problem names it. */
export function fieldWords(error: unknown, field: string): string | undefined {
  if (!(error instanceof Problem)) return undefined;
  const hit = error.errors.find((e) => e.pointer.replace(/^[#/]+/, '') === field);
  if (hit) {
    const rule = hit.code === 'invalid_field' || hit.code === 'missing_field';
    return (rule ? FIELD_RULES[field] : WORDS[hit.code]) ?? 'This is not valid.';
  }
  if (error.code === `${field}_taken`) return WORDS[error.code];
  if (error.code === 'wrong_password' && field === 'currentPassword') return WORDS[error.code];
  return undefined;
}

const FIELD_RULES: Readonly<Record<string, string>> = {
  username: 'Use 2 to 32 small letters, digits, dots, dashes or underscores.',
  email: 'This does not look like an e-mail address.',
  password: 'Use at least 10 characters.',
  newPassword: 'Use at least 10 characters.',
  maxUses: 'Use a number from 1 to 10,000.',
  displayName: 'Use 1 to 100 characters.',
  name: 'Use 1 to 100 characters.',
  scopes: 'Choose at least one.',
  expiresAt: 'Choose a later time.',
};
