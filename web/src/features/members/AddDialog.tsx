import { useCallback, useMemo, useState } from 'react';
import type { Member, Room, User } from '../../protocol/types';
import { useClient } from '../../state/react';
import { useDeed } from '../../state/use-deed';
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
  const there = useMemo(() => new Set(members.map((m) => m.userId)), [members]);
  const search = useCallback((query: string) => client.people.search(query), [client]);
  const add = useDeed(async () => {
    for (const user of people) {
      await client.rooms.invite(room.roomId, user.userId);
      // Those who were added before a failure need not be asked again.
      setPeople((left) => left.filter((other) => other.userId !== user.userId));
    }
    onClose();
  });
  return (
    <Dialog title="Add people" onClose={onClose}>
      <UserPicker
        label="Who?"
        search={search}
        chosen={people}
        onChange={setPeople}
        without={there}
      />
      <FormError text={add.error} />
      <div className="dialog-actions">
        <Button onClick={onClose}>Cancel</Button>
        <Button
          look="solid"
          busy={add.busy}
          disabled={people.length === 0 && !add.busy}
          onClick={() => void add.run()}
        >
          Add
        </Button>
      </div>
    </Dialog>
  );
}
