import { type FormEvent, useCallback, useState } from 'react';
import type { Account } from '../../protocol/trust';
import type { UserId } from '../../protocol/types';
import { useClient, useSelect } from '../../state/react';
import { joinedRooms, nameOf, titleOf } from '../../state/selectors';
import { useList } from '../../state/use-list';
import { Avatar } from '../../ui/Avatar';
import { Button } from '../../ui/Button';
import { FormError } from '../../ui/Field';
import { Icon } from '../../ui/Icon';
import { Select } from '../../ui/Select';
import { Tokens } from './Tokens';
import '../../ui/sheet.css';
import './programs.css';

/** One bot: its tokens, and the rooms it is brought into. */
export function BotPart({ userId, backHref }: { userId: UserId; backHref: string }) {
  const { bot, status, again } = useBot(userId);
  const back = (
    <p>
      <a className="sheet-back" href={backHref}>
        <Icon name="back" /> All bots
      </a>
    </p>
  );
  if (!bot) {
    return (
      <section className="sheet-part" aria-label="A bot">
        {back}
        <p className="sheet-note" role="status">
          {status === 'loading' && 'Loading…'}
          {status === 'failed' && 'This bot could not be loaded, or there is none.'}
          {status === 'ready' && 'This is a person, not a bot.'}
        </p>
        {status === 'failed' && (
          <div>
            <Button onClick={again}>Try again</Button>
          </div>
        )}
      </section>
    );
  }
  const name = nameOf(bot) || 'Erased';
  return (
    <>
      <section className="sheet-part" aria-labelledby="bot">
        {back}
        <div className="bot-who">
          <Avatar id={bot.userId} name={name} />
          <div>
            <h2 id="bot">{name}</h2>
            <small>
              @{bot.username}
              {bot.role === 'guest' && ' · guest'}
              {bot.banned && ' · locked out'}
            </small>
          </div>
        </div>
        <AddToRoom bot={bot} name={name} />
      </section>
      <Tokens
        bot={userId}
        role={bot.role}
        heading="Tokens"
        note="The program that acts as the bot shows one of these. They work until they end, or you end them."
      />
    </>
  );
}

/** A list of one, so that it is read again when the server is back. */
function useBot(userId: UserId) {
  const client = useClient();
  const read = useCallback(async () => {
    const account = await client.programs.bot(userId);
    return { items: account.bot ? [account] : [], nextCursor: null };
  }, [client, userId]);
  const { items, status, again } = useList(read);
  return { bot: items[0], status, again };
}

function AddToRoom({ bot, name }: { bot: Account; name: string }) {
  const client = useClient();
  const rooms = useSelect(joinedRooms).filter((room) => !room.archived && room.type !== 'direct');
  const { get } = client.store;
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const [said, setSaid] = useState('');
  if (rooms.length === 0) {
    return <p className="sheet-note">To bring it into a room, be in that room yourself first.</p>;
  }
  const add = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const roomId = String(new FormData(event.currentTarget).get('room'));
    const room = get().rooms[roomId];
    setBusy(true);
    setError(undefined);
    setSaid('');
    try {
      await client.programs.addToRoom(roomId, bot.userId);
      setSaid(`${name} is in ${room ? titleOf(get(), room) : 'the room'} now.`);
    } catch (problem) {
      setError(client.core.words(problem));
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <form className="bot-room" onSubmit={(e) => void add(e)}>
        <Select
          label="Bring it into a room"
          name="room"
          choices={rooms.map((room) => ({ value: room.roomId, words: titleOf(get(), room) }))}
        />
        <Button type="submit" busy={busy}>
          Add to the room
        </Button>
      </form>
      <FormError text={error} />
      <p className="sheet-done" role="status">
        {said}
      </p>
    </>
  );
}
