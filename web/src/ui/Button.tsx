import type { ButtonHTMLAttributes, MouseEvent, Ref } from 'react';
import './button.css';
import { Icon, type IconName } from './Icon';

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: 'solid' | 'soft' | 'plain' | 'danger';
  icon?: IconName;
  busy?: boolean;
  ref?: Ref<HTMLButtonElement>;
}

/** While it is busy it does nothing, but it stays where it is for those who are on it. */
export function Button({ look = 'soft', icon, busy = false, ...rest }: ButtonProps) {
  const { className = '', children, onClick, type = 'button', ...props } = rest;
  return (
    <button
      {...props}
      type={type}
      className={`button button-${look} ${className}`}
      onClick={busy ? refuse : onClick}
      aria-disabled={busy || undefined}
      aria-busy={busy || undefined}
    >
      {busy ? <span className="spinner" aria-hidden="true" /> : icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

function refuse(event: MouseEvent) {
  event.preventDefault();
}

interface IconButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  icon: IconName;
  label: string;
  ref?: Ref<HTMLButtonElement>;
}

/** A button that shows only an icon; the label is its name and its tip. */
export function IconButton({ icon, label, className = '', ...props }: IconButtonProps) {
  return (
    <button
      type="button"
      title={label}
      {...props}
      aria-label={label}
      className={`icon-button ${className}`}
    >
      <Icon name={icon} />
    </button>
  );
}
