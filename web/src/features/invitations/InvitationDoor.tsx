import { type ReactNode, useEffect, useState } from 'react';
import { Problem } from '../../protocol/problem';
import type { InvitationPreview } from '../../protocol/trust';
import { useClient } from '../../state/react';
import { Button } from '../../ui/Button';
import './invitations.css';

interface Props {
  token: string;
  /** What is shown when the invitation works. */
  inside: (preview: InvitationPreview) => ReactNode;
  /** What is put around the words when it does not. */
  outside: (why: ReactNode) => ReactNode;
  onHome: () => void;
}

/** Looks at an invitation for someone who is not signed in. */
export function InvitationDoor({ token, inside, outside, onHome }: Props) {
  const client = useClient();
  const [preview, setPreview] = useState<InvitationPreview>();
  const [error, setError] = useState<unknown>(null);
  const [attempt, setAttempt] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: an attempt is another look
  useEffect(() => {
    let current = true;
    setError(null);
    client.invitations.look(token).then(
      (found) => current && setPreview(found),
      (problem: unknown) => current && setError(problem),
    );
    return () => {
      current = false;
    };
  }, [client, token, attempt]);
  if (preview) return inside(preview);
  if (error === null) return outside(<p role="status">Looking at your invitation…</p>);
  return outside(
    <Refused
      error={error}
      onAgain={() => setAttempt(attempt + 1)}
      onHome={onHome}
      home="Sign in"
    />,
  );
}

interface RefusedProps {
  error: unknown;
  onAgain: () => void;
  onHome: () => void;
  /** What going on without it is called. */
  home: string;
}

/** Why a link does not work, and what can be done. */
export function Refused({ error, onAgain, onHome, home }: RefusedProps) {
  const client = useClient();
  const gone = error instanceof Problem && (error.status === 410 || error.status === 403);
  return (
    <div className="refused" role="alert">
      <h1 tabIndex={-1}>{gone ? 'This invitation does not work' : 'That did not work'}</h1>
      <p>{client.core.words(error)}</p>
      <div className="refused-actions">
        {!gone && (
          <Button look="solid" onClick={onAgain}>
            Try again
          </Button>
        )}
        <Button onClick={onHome}>{home}</Button>
      </div>
    </div>
  );
}
