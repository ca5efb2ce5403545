import { useCallback, useState } from 'react';
import type { Invitation, NewInvitation } from '../../protocol/trust';
import type { RoomId } from '../../protocol/types';
import { useClient, useSelect } from '../../state/react';
import { senderName } from '../../state/selectors';
import { useForm } from '../../state/use-form';
import { useList } from '../../state/use-list';
import { Button } from '../../ui/Button';
import { CopyText } from '../../ui/CopyText';
import { Field, FormError } from '../../ui/Field';
import { ListEnd } from '../../ui/ListEnd';
import { Select } from '../../ui/Select';
import '../../ui/sheet.css';
import { momentLabel } from '../../ui/time';
import './invitations.css';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A little less than the year the server allows, for clocks that differ. */
const YEAR_MS = 364 * DAY_MS;

const ENDS: readonly { value: string; words: string }[] = [
  { value: String(HOUR_MS), words: 'In an hour' },
  { value: String(DAY_MS), words: 'In a day' },
  { value: String(7 * DAY_MS), words: 'In a week' },
  { value: String(30 * DAY_MS), words: 'In 30 days' },
  { value: String(YEAR_MS), words: 'In a year' },
];

const ROLES = [
  { value: 'member', words: 'Member' },
  { value: 'guest', words: 'Guest' },
] as const;

interface Props {
  /** The room they lead to; to the server alone without one. */
  roomId?: RoomId;
  /** The address that a token is opened by. */
  linkOf: (token: string) => string;
}

/** Makes links that bring people in, lists them, and takes them back. */
export function Invitations({ roomId, linkOf }: Props) {
  const client = useClient();
  const read = useCallback(
    (cursor?: string) => client.invitations.list(roomId, cursor),
    [client, roomId],
  );
  const { items, setItems, status, hasMore, more, again } = useList(read);
  const [link, setLink] = useState<string>();
  const made = ({ token, ...invitation }: Invitation) => {
    setLink(token === undefined ? undefined : linkOf(token));
    setItems((old) => [invitation, ...old]);
  };
  const takenBack = (id: string) =>
    setItems((old) => old.map((i) => (i.invitationId === id ? { ...i, revoked: true } : i)));
  return (
    <>
      <MakeForm roomId={roomId} onMade={made} />
      {link && (
        <CopyText
          label="The link"
          hint="It is shown this once. Whoever has it can come in."
          text={link}
          icon="link"
          fresh
        />
      )}
      <ul className="things" aria-label="Invitations">
        {items.map((invitation) => (
          <Item key={invitation.invitationId} invitation={invitation} onTakenBack={takenBack} />
        ))}
      </ul>
      <p className="sheet-note" role="status">
        {status === 'loading' && items.length === 0 && 'Loading…'}
        {status === 'ready' && items.length === 0 && 'There are no invitations yet.'}
        {status === 'failed' && 'The invitations could not be loaded.'}
      </p>
      <ListEnd status={status} hasMore={hasMore} onMore={more} onAgain={again} />
    </>
  );
}

interface MakeProps {
  roomId: RoomId | undefined;
  onMade: (invitation: Invitation) => void;
}

function MakeForm({ roomId, onMade }: MakeProps) {
  const client = useClient();
  const { busy, wrong, besides, onSubmit } = useForm(async (values) => {
    const { role, maxUses = '1', ends = '' } = values;
    const expiresAt = new Date(client.core.env.now() + Number(ends)).toISOString();
    const wish: NewInvitation = {
      role: role === 'guest' ? 'guest' : 'member',
      maxUses: Number(maxUses),
      expiresAt,
      ...(roomId === undefined ? {} : { roomId }),
    };
    onMade(await client.invitations.make(wish));
  });
  return (
    <form className="invite-form" onSubmit={(e) => void onSubmit(e)}>
      <div className="invite-choices">
        <Select label="New people become" name="role" choices={ROLES} defaultValue="member" />
        <Field
          label="How many people"
          name="maxUses"
          type="number"
          inputMode="numeric"
          min={1}
          max={10_000}
          step={1}
          defaultValue="1"
          required
          error={wrong('maxUses')}
        />
        <Select label="Ends" name="ends" choices={ENDS} defaultValue={String(7 * DAY_MS)} />
      </div>
      <p className="sheet-note">
        Guests see only the rooms they are brought into. Who has an account keeps their role.
      </p>
      <FormError text={besides('maxUses')} />
      <Button type="submit" look="solid" icon="link" busy={busy}>
        Make a link
      </Button>
    </form>
  );
}

function Item({
  invitation,
  onTakenBack,
}: {
  invitation: Invitation;
  onTakenBack: (id: string) => void;
}) {
  const client = useClient();
  const [busy, setBusy] = useState(false);
  const by = useSelect((s) => senderName(s.users, invitation.createdBy));
  const now = client.core.env.now();
  const over = overWords(invitation, now);
  const made = momentLabel(invitation.createdAt, now);
  const takeBack = async () => {
    setBusy(true);
    try {
      await client.invitations.takeBack(invitation.invitationId);
      onTakenBack(invitation.invitationId);
    } catch (error) {
      client.core.report(error);
      setBusy(false);
    }
  };
  return (
    <li className={`thing ${over ? 'thing-over' : ''}`}>
      <span className="thing-text">
        {invitation.uses.toLocaleString()} of {invitation.maxUses.toLocaleString()} used
        {invitation.role === 'guest' && ' · guest'}
        <small>
          By {by}, {made} · {over ?? `ends ${momentLabel(invitation.expiresAt, now)}`}
        </small>
      </span>
      {!over && (
        <Button
          busy={busy}
          aria-label={`Take back the invitation of ${made}`}
          onClick={() => void takeBack()}
        >
          Take back
        </Button>
      )}
    </li>
  );
}

/** Why nobody comes in by it any more; nothing while somebody can. */
function overWords(invitation: Invitation, now: number): string | undefined {
  if (invitation.revoked) return 'taken back';
  if (invitation.uses >= invitation.maxUses) return 'used up';
  return Date.parse(invitation.expiresAt) <= now ? 'has ended' : undefined;
}
