import { useCallback, useMemo, useState } from 'react';
import type { Member, Room, User } from '../../protocol/types';
import { useClient } from '../../state/react';
import { Button } from '../../ui/Button';
import { Dialog } from '../../ui/Dialog';
import { FormError } from '../../ui/Field';
import { UserPicker } from '../../ui/UserPicker';

interface AddProps {
  room: Room;
  members: readonly Member[];
  onClose: () => void;
}

/** Brings people in who have an account. */
export function AddDialog({ room, members, onClose }: AddProps) {
  const client = useClient();
  const [people, setPeople] = useState<User[]>([]);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const there = useMemo(() => new Set(members.map((m) => m.userId)), [members]);
  const search = useCallback((query: string) => client.people.search(query), [client]);
  const add = async () => {
    setBusy(true);
    setError(undefined);
    const left = [...people];
    try {
      for (const user of people) {
        await client.rooms.invite(room.roomId, user.userId);
        left.shift();
      }
      onClose();
    } catch (problem) {
      // Those who were added before the failure need not be asked again.
      setPeople(left);
      setError(client.core.words(problem));
      setBusy(false);
    }
  };
  return (
    <Dialog title="Add people" onClose={onClose}>
      <UserPicker
        label="Who?"
        search={search}
        chosen={people}
        onChange={setPeople}
        without={there}
      />
      <FormError text={error} />
      <div className="dialog-actions">
        <Button onClick={onClose}>Cancel</Button>
        <Button look="solid" busy={busy} disabled={people.length === 0} onClick={() => void add()}>
          Add
        </Button>
      </div>
    </Dialog>
  );
}
