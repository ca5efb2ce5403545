import { type KeyboardEvent, useEffect, useRef } from 'react';
import type { RoomId } from '../../protocol/types';
import { type Draft, EMPTY_DRAFT } from '../../state/model';
import { useClient, useSelect } from '../../state/react';
import { senderName } from '../../state/selectors';
import { IconButton } from '../../ui/Button';
import { Icon } from '../../ui/Icon';
import { plainText } from '../../ui/markdown';
import './composer.css';

/** From here on the count of what is left is shown. */
const NEAR_LIMIT = 2_000;

interface Props {
  roomId: RoomId;
  title: string;
}

/** Where a message is written: new, as a reply, or over an old one. */
export function Composer({ roomId, title }: Props) {
  const client = useClient();
  const draft = useSelect((s) => s.drafts[roomId] ?? EMPTY_DRAFT);
  const limit = useSelect((s) => s.limits.maxContentChars);
  const box = useRef<HTMLTextAreaElement>(null);
  const left = limit - countChars(draft.text, limit);
  const ready = draft.text.trim() !== '' && left >= 0;
  useFocusOnChange(box, roomId, draft);

  const submit = () => {
    if (ready) client.composing.submit(roomId);
    box.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    // Enter also ends the composition of a character: that is not sending.
    if (event.nativeEvent.isComposing) return;
    if (event.key === 'Enter' && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      submit();
    } else if (event.key === 'Escape' && draft.mode.kind !== 'new') {
      event.preventDefault();
      client.composing.cancel(roomId);
    } else if (event.key === 'ArrowUp' && draft.text === '' && draft.mode.kind === 'new') {
      if (client.composing.editLast(roomId)) event.preventDefault();
    }
  };
  return (
    <form
      className="composer"
      aria-label="Write a message"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <Mode
        roomId={roomId}
        draft={draft}
        onCancel={() => {
          client.composing.cancel(roomId);
          box.current?.focus();
        }}
      />
      <div className="composer-box">
        <div className="composer-grow" data-text={draft.text}>
          <textarea
            ref={box}
            id="composer"
            rows={1}
            value={draft.text}
            placeholder={`Message ${title}`}
            aria-label={`Message ${title}`}
            aria-invalid={left < 0 || undefined}
            aria-describedby="composer-left"
            enterKeyHint="send"
            onChange={(event) => client.composing.write(roomId, event.target.value)}
            onKeyDown={onKeyDown}
          />
        </div>
        <button
          type="submit"
          className="composer-send"
          disabled={!ready}
          aria-label="Send"
          title="Send"
        >
          <Icon name={draft.mode.kind === 'edit' ? 'check' : 'send'} />
        </button>
      </div>
      <p
        id="composer-left"
        className={`composer-left ${left < 0 ? 'composer-over' : ''}`}
        role="status"
      >
        {left < NEAR_LIMIT && remaining(left)}
      </p>
    </form>
  );
}

function remaining(left: number): string {
  const count = Math.abs(left).toLocaleString();
  return left < 0 ? `${count} characters too many` : `${count} characters left`;
}

/** Code points, as the server counts; short texts are not worth counting exactly. */
function countChars(text: string, limit: number): number {
  if (text.length < limit - NEAR_LIMIT) return text.length;
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

interface ModeProps {
  roomId: RoomId;
  draft: Draft;
  onCancel: () => void;
}

function Mode({ roomId, draft, onCancel }: ModeProps) {
  const { mode } = draft;
  const target = useSelect((s) => {
    if (mode.kind === 'new') return undefined;
    return s.timelines[roomId]?.items.find((m) => m.messageId === mode.messageId);
  });
  const name = useSelect((s) => (target ? senderName(s.users, target.senderId) : ''));
  if (mode.kind === 'new') return null;
  const editing = mode.kind === 'edit';
  return (
    <div className="composer-mode">
      <Icon name={editing ? 'edit' : 'reply'} />
      <span>
        {editing ? 'Editing your message' : 'Replying to '}
        {!editing && <strong>{name || 'an earlier message'}</strong>}
      </span>
      {!editing && target && (
        <span className="composer-quote">{plainText(target.content, 80)}</span>
      )}
      <IconButton
        icon="close"
        label={editing ? 'Cancel editing' : 'Cancel reply'}
        onClick={onCancel}
      />
    </div>
  );
}

/** The room was opened, or a reply or an edit begun: the caret belongs here. */
function useFocusOnChange(
  box: { current: HTMLTextAreaElement | null },
  roomId: RoomId,
  { mode }: Draft,
) {
  const began = mode.kind === 'new' ? '' : `${mode.kind} ${mode.messageId}`;
  // biome-ignore lint/correctness/useExhaustiveDependencies: when the room is opened
  useEffect(() => {
    // On a phone the focus would open the keyboard over the conversation.
    if (window.matchMedia('(pointer: fine)').matches) goOn(box.current);
  }, [box, roomId]);
  useEffect(() => {
    if (began !== '') goOn(box.current);
  }, [box, began]);
}

/** Puts the caret behind what is written. */
function goOn(area: HTMLTextAreaElement | null) {
  area?.focus();
  area?.setSelectionRange(area.value.length, area.value.length);
}
