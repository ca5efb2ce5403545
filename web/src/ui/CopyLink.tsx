import { useEffect, useRef, useState } from 'react';
import { Button } from './Button';
import { Field } from './Field';
import './copy-link.css';

interface Props {
  label: string;
  hint: string;
  href: string;
}

/** A link to give away: shown, marked, and copied by a button. */
export function CopyLink({ label, hint, href }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const [said, setSaid] = useState('');
  // biome-ignore lint/correctness/useExhaustiveDependencies: another link is not copied yet
  useEffect(() => {
    setSaid('');
    input.current?.focus();
    input.current?.select();
  }, [href]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(href);
      setSaid('Copied.');
    } catch {
      // No clipboard on plain http, or not allowed: it is marked, so that a key copies it.
      input.current?.focus();
      input.current?.select();
      setSaid('Press Ctrl+C (or ⌘C) to copy it.');
    }
  };
  return (
    <div className="copy-link">
      <p>{hint}</p>
      <div className="copy-link-row">
        <Field
          label={label}
          value={href}
          readOnly
          ref={input}
          onFocus={(event) => event.target.select()}
        />
        <Button look="solid" icon="link" onClick={() => void copy()}>
          Copy
        </Button>
      </div>
      <p role="status">{said}</p>
    </div>
  );
}
