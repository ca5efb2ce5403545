import { type FormEvent, useCallback, useMemo, useState } from 'react';
import type { NewRoom, RoomId, User } from '../../protocol/types';
import { useClient, useSelect } from '../../state/react';
import { Button } from '../../ui/Button';
import { Check } from '../../ui/Check';
import { Dialog } from '../../ui/Dialog';
import { Field, FormError } from '../../ui/Field';
import { UserPicker } from '../../ui/UserPicker';
import './new-room.css';

interface Props {
  onClose: () => void;
  onCreated: (roomId: RoomId) => void;
}

type Kind = 'direct' | 'channel' | 'group';

const KINDS: readonly { kind: Kind; label: string; hint: string }[] = [
  { kind: 'direct', label: 'Direct message', hint: 'Between you and one person' },
  { kind: 'channel', label: 'Channel', hint: 'A named place for a topic or a team' },
  { kind: 'group', label: 'Group', hint: 'A few people, by invitation' },
];

/** Makes a direct room, a channel or a group. */
export function NewRoomDialog({ onClose, onCreated }: Props) {
  const client = useClient();
  const [kind, setKind] = useState<Kind>('direct');
  const [people, setPeople] = useState<User[]>([]);
  const [isPrivate, setPrivate] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const me = useSelect((s) => s.me?.userId ?? '');
  const myself = useMemo(() => new Set([me]), [me]);
  const search = useCallback((query: string) => client.people.search(query), [client]);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const input = inputOf(kind, form, people, isPrivate);
    if (typeof input === 'string') return setError(input);
    setBusy(true);
    setError(undefined);
    try {
      onCreated(await client.rooms.create(input));
    } catch (problem) {
      setError(client.core.words(problem));
      setBusy(false);
    }
  };
  return (
    <Dialog title="Start a conversation" onClose={onClose}>
      <form className="new-room" onSubmit={(e) => void submit(e)}>
        <KindChoice kind={kind} onChange={setKind} />
        {kind !== 'direct' && (
          <Field
            label={kind === 'channel' ? 'Name' : 'Name (optional)'}
            name="name"
            maxLength={100}
            autoComplete="off"
          />
        )}
        {kind === 'channel' && (
          <>
            <Field label="Topic (optional)" name="topic" maxLength={200} autoComplete="off" />
            <Check
              label="Private"
              hint="Only people who are invited can find and read it."
              checked={isPrivate}
              onChange={(e) => setPrivate(e.target.checked)}
            />
          </>
        )}
        <UserPicker
          label={kind === 'direct' ? 'With' : 'Invite people'}
          search={search}
          chosen={kind === 'direct' ? people.slice(0, 1) : people}
          onChange={setPeople}
          single={kind === 'direct'}
          {...(kind === 'direct' ? {} : { without: myself })}
        />
        <FormError text={error} />
        <div className="dialog-actions">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="solid" busy={busy}>
            {kind === 'direct' ? 'Open' : 'Create'}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function inputOf(
  kind: Kind,
  form: FormData,
  people: readonly User[],
  isPrivate: boolean,
): NewRoom | string {
  const name = String(form.get('name') ?? '').trim();
  const topic = String(form.get('topic') ?? '').trim();
  const memberIds = people.map((u) => u.userId);
  if (kind === 'direct') {
    const [peer] = memberIds;
    return peer === undefined ? 'Choose a person.' : { type: 'direct', memberIds: [peer] };
  }
  if (kind === 'channel' && name === '') return 'A channel needs a name.';
  if (kind === 'group' && memberIds.length === 0) return 'Choose at least one person.';
  const room: NewRoom = { type: kind };
  if (name !== '') room.name = name;
  if (topic !== '') room.topic = topic;
  if (memberIds.length > 0) room.memberIds = memberIds;
  if (kind === 'channel') room.visibility = isPrivate ? 'private' : 'public';
  return room;
}

function KindChoice({ kind, onChange }: { kind: Kind; onChange: (kind: Kind) => void }) {
  return (
    <fieldset className="kinds">
      <legend className="visually-hidden">What kind of conversation?</legend>
      {KINDS.map((k) => (
        <label key={k.kind} className={`kind ${k.kind === kind ? 'kind-chosen' : ''}`}>
          <input
            type="radio"
            name="kind"
            value={k.kind}
            checked={k.kind === kind}
            onChange={() => onChange(k.kind)}
          />
          <span>{k.label}</span>
          <small>{k.hint}</small>
        </label>
      ))}
    </fieldset>
  );
}
