import { type ReactNode, useEffect, useState } from 'react';
import type { RoomId } from '../../protocol/types';
import { useClient } from '../../state/react';
import { Refused } from './InvitationDoor';
import './invitations.css';

interface Props {
  token: string;
  menu: ReactNode;
  /** One is in; null if the invitation leads to no room. */
  onOpen: (roomId: RoomId | null) => void;
}

/** Someone who is signed in opened an invitation: they come in. */
export function InvitePage({ token, menu, onOpen }: Props) {
  const client = useClient();
  const [error, setError] = useState<unknown>(null);
  const [attempt, setAttempt] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for a link, and at each attempt
  useEffect(() => {
    let current = true;
    setError(null);
    client.invitations.accept(token).then(
      (roomId) => current && onOpen(roomId),
      (problem: unknown) => current && setError(problem),
    );
    return () => {
      current = false;
    };
  }, [client, token, attempt]);
  return (
    <>
      <header className="page-head page-head-bare">{menu}</header>
      <div className="home">
        {error === null ? (
          <p role="status">Opening your invitation…</p>
        ) : (
          <Refused
            error={error}
            onAgain={() => setAttempt(attempt + 1)}
            onHome={() => onOpen(null)}
            home="Go to your rooms"
          />
        )}
      </div>
    </>
  );
}
