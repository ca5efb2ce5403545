import type { ReactNode } from 'react';
import { PageHead } from '../../ui/PageHead';
import { type Part, Parts } from '../../ui/Parts';
import { Sheet } from '../../ui/Sheet';

interface Props {
  menu: ReactNode;
  parts: readonly Part[];
  children: ReactNode;
}

/** The pages of one's own account, and the way between them. */
export function AccountFrame({ menu, parts, children }: Props) {
  return (
    <>
      <PageHead menu={menu} title="Your account" />
      <Parts label="Parts of your account" parts={parts} />
      <Sheet label="Settings of your account">{children}</Sheet>
    </>
  );
}
