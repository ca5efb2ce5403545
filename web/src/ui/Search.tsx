import { Icon } from './Icon';
import './search.css';

interface Props {
  value: string;
  onChange: (value: string) => void;
  placeholder: string;
  /** What is looked for, and where; the placeholder if it says so. */
  label?: string;
}

/** A field that looks for something, with its glass. */
export function Search({ value, onChange, placeholder, label = placeholder }: Props) {
  return (
    <search className="search">
      <Icon name="search" />
      <input
        type="search"
        value={value}
        placeholder={placeholder}
        aria-label={label}
        onChange={(event) => onChange(event.target.value)}
      />
    </search>
  );
}
