import type { InputHTMLAttributes } from 'react';
import './check.css';

interface Props extends Omit<InputHTMLAttributes<HTMLInputElement>, 'type'> {
  label: string;
  hint?: string;
}

/** A box to tick, with what it means. */
export function Check({ label, hint, ...input }: Props) {
  return (
    <label className="check">
      <input {...input} type="checkbox" />
      <span>
        {label} {hint && <small>{hint}</small>}
      </span>
    </label>
  );
}
