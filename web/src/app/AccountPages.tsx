import type { ReactNode } from 'react';
import { AccountFrame } from '../features/account/AccountFrame';
import { AccountPart } from '../features/account/AccountPart';
import { Tokens } from '../features/programs/Tokens';
import { useSelect } from '../state/react';
import { accountParts, type AccountPart as Part } from './route';

/** One's own account: devices and password, and tokens for programs. */
export function AccountPages({ part, menu }: { part: Part; menu: ReactNode }) {
  const role = useSelect((s) => s.me?.role);
  return (
    <AccountFrame menu={menu} parts={accountParts(part)}>
      {part === 'you' && <AccountPart />}
      {part === 'tokens' && (
        <Tokens
          role={role}
          heading="API tokens"
          note="With a token a program acts in your name. It works until it ends or you end it, also after you signed out or changed your password."
        />
      )}
    </AccountFrame>
  );
}
