import { useEffect, useRef, useState } from 'react';
import type { RoomId } from '../../protocol/types';
import { useSelect } from '../../state/react';
import { typingText } from '../../state/selectors';
import './typing.css';

/** Whoever listens is told that someone began, not of every pause and change after it. */
const QUIET_MS = 30_000;

/** Who else types in the room. Always there, so that nothing moves when someone begins. */
export function TypingLine({ roomId }: { roomId: RoomId }) {
  const text = useSelect((s) => typingText(s, roomId));
  return (
    <div className="typing">
      {text !== '' && (
        <p aria-hidden="true">
          <span className="typing-dots">
            <i />
            <i />
            <i />
          </span>
          {text}
        </p>
      )}
      <Spoken text={text} />
    </div>
  );
}

function Spoken({ text }: { text: string }) {
  const [words, setWords] = useState('');
  const saidAt = useRef(Number.NEGATIVE_INFINITY);
  useEffect(() => {
    const now = Date.now();
    if (text === '') setWords('');
    else if (now - saidAt.current >= QUIET_MS) {
      saidAt.current = now;
      setWords(text);
    }
  }, [text]);
  return (
    <span className="visually-hidden" role="status" aria-live="polite">
      {words}
    </span>
  );
}
