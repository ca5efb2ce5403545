import type { ReactNode } from 'react';
import { AdminFrame } from '../features/admin/AdminFrame';
import { AuditPart } from '../features/admin/AuditPart';
import { PeoplePart } from '../features/admin/PeoplePart';
import { Invitations } from '../features/invitations/Invitations';
import { ADMIN_PARTS, type AdminPart, adminHref, inviteLink, resetLink } from './route';

const WORDS: Readonly<Record<AdminPart, string>> = {
  people: 'People',
  invitations: 'Invitations',
  audit: 'Audit log',
};

/** Running the server: people, invitations, and what was done. */
export function AdminPages({ part, menu }: { part: AdminPart; menu: ReactNode }) {
  const parts = ADMIN_PARTS.map((name) => {
    return { href: adminHref(name), words: WORDS[name], here: name === part };
  });
  return (
    <AdminFrame menu={menu} parts={parts}>
      {part === 'people' && <PeoplePart resetLinkOf={resetLink} />}
      {part === 'invitations' && (
        <section className="sheet-part" aria-labelledby="invitations">
          <h2 id="invitations">Invitations to this server</h2>
          <Invitations linkOf={inviteLink} />
        </section>
      )}
      {part === 'audit' && <AuditPart />}
    </AdminFrame>
  );
}
