import { useState } from 'react';
import { mayRemove, rolesFor } from '../../protocol/permission';
import type { Member, MemberRole, Room } from '../../protocol/types';
import { useClient } from '../../state/react';
import { nameOf } from '../../state/selectors';
import { useDeed } from '../../state/use-deed';
import { Button } from '../../ui/Button';
import { Check } from '../../ui/Check';
import { Dialog } from '../../ui/Dialog';
import { FormError } from '../../ui/Field';

const ABOUT: Readonly<Record<MemberRole, string>> = {
  owner: 'May do everything here, and remove the room',
  admin: 'May change the room, invite by link, and remove members',
  member: 'May read and write',
};

interface Props {
  room: Room;
  member: Member;
  you: boolean;
  /** Told in words what was done. */
  onDone: (words: string) => void;
  onClose: () => void;
}

/** One member's role, and taking them out. */
export function MemberDialog({ room, member, you, onDone, onClose }: Props) {
  const client = useClient();
  const [role, setRole] = useState(member.role);
  const [removing, setRemoving] = useState(false);
  const name = you ? 'You' : nameOf(member);
  const save = useDeed(async () => {
    if (role === member.role) return onClose();
    await client.rooms.changeRole(room.roomId, member.userId, role);
    onDone(`${name} ${you ? 'are' : 'is'} ${role} now.`);
    onClose();
  });
  const remove = useDeed(async () => {
    await client.rooms.removeMember(room.roomId, member.userId);
    onDone(`${name} was removed.`);
    onClose();
  });
  if (removing) {
    return (
      <Dialog title={`Remove ${name}?`} onClose={onClose}>
        <p>They see nothing of this room any more{comeBack(room)}.</p>
        <FormError text={remove.error} />
        <div className="dialog-actions">
          <Button onClick={() => setRemoving(false)}>Back</Button>
          <Button look="danger" busy={remove.busy} onClick={() => void remove.run()}>
            Remove
          </Button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title={you ? 'Your role here' : nameOf(member)} onClose={onClose}>
      <Roles roles={rolesFor(room.role)} chosen={role} onChange={setRole} />
      <FormError text={save.error} />
      <div className="dialog-actions">
        {!you && mayRemove(room.role, member.role) && (
          <Button
            className="member-remove"
            look="plain"
            icon="leave"
            disabled={save.busy}
            onClick={() => setRemoving(true)}
          >
            Remove from this room
          </Button>
        )}
        <Button look="solid" busy={save.busy} onClick={() => void save.run()}>
          Save
        </Button>
      </div>
    </Dialog>
  );
}

interface RolesProps {
  roles: readonly MemberRole[];
  chosen: MemberRole;
  onChange: (role: MemberRole) => void;
}

function Roles({ roles, chosen, onChange }: RolesProps) {
  if (roles.length === 0) return <p>{ABOUT[chosen]}.</p>;
  return (
    <fieldset className="member-roles">
      <legend className="visually-hidden">Role</legend>
      {roles.map((role) => (
        <Check
          key={role}
          radio
          label={role.charAt(0).toUpperCase() + role.slice(1)}
          hint={ABOUT[role]}
          name="role"
          value={role}
          checked={role === chosen}
          onChange={() => onChange(role)}
        />
      ))}
    </fieldset>
  );
}

function comeBack(room: Room): string {
  const open = room.type === 'channel' && room.visibility === 'public';
  return open ? ' until they join again' : '';
}
