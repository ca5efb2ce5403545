import { useCallback, useState } from 'react';
import type { Account } from '../../protocol/trust';
import type { UserId } from '../../protocol/types';
import { useClient, useSelect } from '../../state/react';
import { joinedRooms, nameOf, titleOf } from '../../state/selectors';
import { useForm } from '../../state/use-form';
import { useList } from '../../state/use-list';
import { Avatar } from '../../ui/Avatar';
import { Button } from '../../ui/Button';
import { FormError } from '../../ui/Field';
import { Icon } from '../../ui/Icon';
import { ListEnd } from '../../ui/ListEnd';
import { Select } from '../../ui/Select';
import { Tokens } from './Tokens';
import '../../ui/sheet.css';
import './programs.css';

/** One bot: its tokens, and the rooms it is brought into. */
export function BotPart({ userId, backHref }: { userId: UserId; backHref: string }) {
  const { bot, status, again } = useBot(userId);
  const known = useSelect((s) => s.users[userId]);
  const user = bot ?? known;
  const name = user ? nameOf(user) || 'Erased' : 'A bot';
  return (
    <>
      <section className="sheet-part" aria-labelledby="bot">
        <p>
          <a className="sheet-back" href={backHref}>
            <Icon name="back" /> All bots
          </a>
        </p>
        <div className="bot-who">
          {bot && <Avatar id={bot.userId} name={name} />}
          <div>
            <h2 id="bot" tabIndex={-1}>
              {name}
            </h2>
            {bot && <About bot={bot} />}
          </div>
        </div>
        {bot && <AddToRoom bot={bot} name={name} />}
        {!bot && (
          <p className="sheet-note" role="status">
            {status === 'loading' && 'Loading…'}
            {status === 'failed' && 'This bot could not be loaded, or there is none.'}
            {status === 'ready' && 'This is a person, not a bot.'}
          </p>
        )}
        <ListEnd status={status} onAgain={again} />
      </section>
      {bot && (
        <Tokens
          bot={userId}
          role={bot.role}
          heading="Tokens"
          note="The program that acts as the bot shows one of these. They work until they end, or you end them."
        />
      )}
    </>
  );
}

function About({ bot }: { bot: Account }) {
  return (
    <small>
      @{bot.username}
      {bot.role === 'guest' && ' · guest'}
      {bot.banned && ' · locked out'}
    </small>
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
  const list = useSelect((s) => s.roomList);
  const { get } = client.store;
  const [said, setSaid] = useState('');
  const { busy, besides, onSubmit } = useForm(async ({ room: roomId = '' }) => {
    setSaid('');
    await client.programs.addToRoom(roomId, bot.userId);
    const room = get().rooms[roomId];
    setSaid(`${name} is in ${room ? titleOf(get(), room) : 'the room'} now.`);
  });
  const hasMore = list.nextCursor !== null;
  if (rooms.length === 0 && !hasMore) return <NoRooms status={list.status} />;
  return (
    <>
      <form className="bot-room" onSubmit={(e) => void onSubmit(e)}>
        <Select
          label="Bring it into a room"
          name="room"
          required
          choices={rooms.map((room) => ({ value: room.roomId, words: titleOf(get(), room) }))}
        />
        <Button type="submit" busy={busy}>
          Add to the room
        </Button>
        {hasMore && (
          <Button
            look="plain"
            busy={list.status === 'loading'}
            onClick={() => void client.rooms.loadMore()}
          >
            Load more of your rooms
          </Button>
        )}
      </form>
      <FormError text={besides()} />
      <p className="sheet-done" role="status">
        {said}
      </p>
    </>
  );
}

function NoRooms({ status }: { status: 'loading' | 'ready' | 'failed' }) {
  return (
    <p className="sheet-note" role="status">
      {status === 'loading' && 'Loading your rooms…'}
      {status === 'failed' && 'Your rooms could not be loaded.'}
      {status === 'ready' && 'To bring it into a room, be in that room yourself first.'}
    </p>
  );
}
