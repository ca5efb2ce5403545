import { useState } from 'react';
import type { RoomId } from '../../protocol/types';
import { useSelect } from '../../state/react';
import { AuthCard } from './AuthCard';
import { SignIn } from './SignIn';
import { SignUp } from './SignUp';

interface Props {
  /** From a link that makes the first administrator. */
  setupToken: string | null;
  /** From a link that somebody gave them, and where it leads. */
  invitation?: { token: string; roomName?: string | undefined };
  forgotHref: string;
  onDone: () => void;
  /** The new account is in a room already. */
  onEntered: (roomId: RoomId) => void;
}

/** Signing in, signing up, and making the first administrator. */
export function AuthPage({ setupToken, invitation, forgotHref, onDone, onEntered }: Props) {
  const newcomer = setupToken !== null || invitation !== undefined;
  const [mode, setMode] = useState<'in' | 'up'>(newcomer ? 'up' : 'in');
  const ended = useSelect((s) => s.ended);
  return (
    <AuthCard>
      {ended !== null && (
        <p className="auth-ended" role="alert">
          {ended}
        </p>
      )}
      {invitation && (
        <p className="auth-ended" role="status">
          You are invited to <strong>{invitation.roomName ?? 'this server'}</strong>.{' '}
          {mode === 'up' ? 'Make an account to come in.' : 'Sign in to come in.'}
        </p>
      )}
      {mode === 'in' ? (
        <SignIn forgotHref={forgotHref} onDone={onDone} />
      ) : (
        <SignUp
          setupToken={setupToken}
          invitation={invitation?.token}
          onDone={onDone}
          onEntered={onEntered}
        />
      )}
      {setupToken === null && (
        <p className="auth-switch">
          {mode === 'in' ? 'New here?' : 'You have an account?'}{' '}
          <button
            type="button"
            className="link"
            onClick={() => setMode(mode === 'in' ? 'up' : 'in')}
          >
            {mode === 'in' ? 'Create an account' : 'Sign in'}
          </button>
        </p>
      )}
    </AuthCard>
  );
}
