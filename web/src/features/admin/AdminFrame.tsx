import type { ReactNode } from 'react';
import { mayRunServer } from '../../protocol/permission';
import { useSelect } from '../../state/react';
import { PageHead } from '../../ui/PageHead';
import { type Part, Parts } from '../../ui/Parts';
import { Sheet } from '../../ui/Sheet';

interface Props {
  menu: ReactNode;
  parts: readonly Part[];
  children: ReactNode;
}

/** The pages of those who run the server, and the way between them. */
export function AdminFrame({ menu, parts, children }: Props) {
  const admin = useSelect((s) => mayRunServer(s.me?.role));
  return (
    <>
      <PageHead menu={menu} title="Run this server" />
      {admin && <Parts label="Parts of running this server" parts={parts} />}
      <Sheet label="Run this server">
        {admin ? children : <p>This page is for administrators of the server.</p>}
      </Sheet>
    </>
  );
}
