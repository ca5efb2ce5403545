import type { InputHTMLAttributes } from 'react';
import './check.css';

interface Props extends Omit<InputHTMLAttributes<HTMLInputElement>, 'type'> {
  label: string;
  hint?: string;
  /** One of several, of which only one is chosen. */
  radio?: boolean;
}

/** A box to tick, or one of a choice, with what it means. */
export function Check({ label, hint, radio = false, ...input }: Props) {
  return (
    <label className="check">
      <input {...input} type={radio ? 'radio' : 'checkbox'} />
      <span>
        {label} {hint && <small>{hint}</small>}
      </span>
    </label>
  );
}
