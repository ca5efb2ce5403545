import { useState } from 'react';
import type { ApiToken } from '../../protocol/trust';
import { useClient, useSelect } from '../../state/react';
import { joinedRooms, titleOf } from '../../state/selectors';
import { Button } from '../../ui/Button';
import { CopyText } from '../../ui/CopyText';
import { Select } from '../../ui/Select';
import { askLine, sayLine } from './curl';

interface Props {
  token: ApiToken;
  secret: string;
  onDone: () => void;
}

/** A token that was just made: the only time it is shown, and lines to try it with. */
export function MadeToken({ token, secret, onDone }: Props) {
  const client = useClient();
  const rooms = useSelect(joinedRooms).filter((room) => !room.archived);
  const { get } = client.store;
  const [chosen, setChosen] = useState<string>();
  const room = chosen ?? rooms[0]?.roomId;
  const told = { origin: window.location.origin, token: secret };
  const ask = askLine(told, token.scopes);
  const own = token.userId === get().me?.userId;
  return (
    <section className="token-made" aria-label={`The new token ${token.name}`}>
      <CopyText
        label="The token"
        hint="It is shown this once: copy it now. Whoever has it can do what it may do."
        text={secret}
        fresh
      />
      {ask !== undefined && <CopyText label="Try it in a terminal" text={ask} long />}
      {token.scopes.includes('write') && room !== undefined && (
        <CopyText
          label="Say something with it"
          text={sayLine(told, room, `Hello from ${token.name}`)}
          long
        >
          <Select
            label={own ? 'In this room' : 'In this room, if the bot is in it'}
            choices={rooms.map((r) => ({ value: r.roomId, words: titleOf(get(), r) }))}
            value={room}
            onChange={(event) => setChosen(event.target.value)}
          />
        </CopyText>
      )}
      <div>
        <Button onClick={onDone}>I have copied it</Button>
      </div>
    </section>
  );
}
