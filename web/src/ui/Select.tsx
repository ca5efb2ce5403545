import { type SelectHTMLAttributes, useId } from 'react';
import './select.css';

interface Props extends SelectHTMLAttributes<HTMLSelectElement> {
  label: string;
  choices: readonly { value: string; words: string }[];
  /** The label is only read out. */
  bare?: boolean;
}

/** A labelled choice of one. */
export function Select({ label, choices, bare = false, ...select }: Props) {
  const id = useId();
  return (
    <div className="field select">
      <label htmlFor={id} className={bare ? 'visually-hidden' : undefined}>
        {label}
      </label>
      <select {...select} id={id}>
        {choices.map(({ value, words }) => (
          <option key={value} value={value}>
            {words}
          </option>
        ))}
      </select>
    </div>
  );
}
