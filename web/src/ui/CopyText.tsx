import {
  type FocusEvent,
  type ReactNode,
  type Ref,
  useEffect,
  useId,
  useRef,
  useState,
} from 'react';
import { Button } from './Button';
import { Field } from './Field';
import type { IconName } from './Icon';
import './copy-text.css';

interface Props {
  label: string;
  text: string;
  hint?: string;
  icon?: IconName;
  /** It has just appeared, and is what one waits for: it takes the focus, and is marked. */
  fresh?: boolean;
  /** It is shown whole, over several lines. */
  long?: boolean;
  children?: ReactNode;
}

/** Something to take elsewhere: shown, marked, and copied by a button. */
export function CopyText(props: Props) {
  const { label, text, hint, icon = 'copy', fresh = false, long = false, children } = props;
  const box = useRef<HTMLInputElement & HTMLTextAreaElement>(null);
  const [said, setSaid] = useState('');
  const mark = () => {
    box.current?.focus();
    box.current?.select();
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: another text is not copied yet
  useEffect(() => {
    setSaid('');
    if (fresh) mark();
  }, [text, fresh]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid('Copied.');
    } catch {
      // No clipboard on plain http, or not allowed: it is marked, so that a key copies it.
      mark();
      setSaid('Press Ctrl+C (or ⌘C) to copy it.');
    }
  };
  const shown = { label, value: text, ref: box, onFocus: selectAll };
  return (
    <div className="copy-text">
      {hint && <p>{hint}</p>}
      {children}
      <div className={`copy-text-row ${long ? 'copy-text-long' : ''}`}>
        {long ? <Lines {...shown} /> : <Field {...shown} readOnly />}
        <Button look={fresh ? 'solid' : 'soft'} icon={icon} onClick={() => void copy()}>
          Copy<span className="visually-hidden"> {label}</span>
        </Button>
      </div>
      <p role="status">{said}</p>
    </div>
  );
}

function selectAll(event: FocusEvent<HTMLInputElement | HTMLTextAreaElement>) {
  event.target.select();
}

interface LinesProps {
  label: string;
  value: string;
  ref: Ref<HTMLTextAreaElement>;
  onFocus: (event: FocusEvent<HTMLTextAreaElement>) => void;
}

function Lines({ label, ...area }: LinesProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <textarea {...area} id={id} rows={4} readOnly spellCheck={false} />
    </div>
  );
}
