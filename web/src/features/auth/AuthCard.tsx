import type { ReactNode } from 'react';
import { Logo } from '../../ui/Logo';
import './auth.css';

/** The page of someone who is not signed in: one card. */
export function AuthCard({ children }: { children: ReactNode }) {
  return (
    <main className="auth">
      <div className="auth-card">
        <Logo large />
        {children}
      </div>
    </main>
  );
}
