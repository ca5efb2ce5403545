import type { ReactNode } from 'react';
import { AdminFrame } from '../features/admin/AdminFrame';
import { AuditPart } from '../features/admin/AuditPart';
import { PeoplePart } from '../features/admin/PeoplePart';
import { Invitations } from '../features/invitations/Invitations';
import { BotPart } from '../features/programs/BotPart';
import { Bots } from '../features/programs/Bots';
import { adminHref, adminParts, botHref, go, inviteLink, type Route, resetLink } from './route';

interface Props {
  route: Extract<Route, { page: 'admin' }>;
  menu: ReactNode;
}

/** Running the server: people, bots, invitations, and what was done. */
export function AdminPages({ route: { part, bot }, menu }: Props) {
  return (
    <AdminFrame menu={menu} parts={adminParts(part)}>
      {part === 'people' && <PeoplePart resetLinkOf={resetLink} />}
      {part === 'bots' && bot === undefined && (
        <Bots hrefOf={botHref} onMade={(made) => go(botHref(made))} />
      )}
      {part === 'bots' && bot !== undefined && (
        <BotPart key={bot} userId={bot} backHref={adminHref('bots')} />
      )}
      {part === 'invitations' && (
        <section className="sheet-part" aria-labelledby="invitations">
          <h2 id="invitations" tabIndex={-1}>
            Invitations to this server
          </h2>
          <Invitations linkOf={inviteLink} />
        </section>
      )}
      {part === 'audit' && <AuditPart />}
    </AdminFrame>
  );
}
