import '../ui/base.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Client } from '../state/client';
import { ClientContext } from '../state/react';
import { browserEnvironment, browserTransport } from '../transport/browser';
import { applyTheme, readTheme } from '../ui/theme';
import { App } from './App';

const environment = browserEnvironment();
applyTheme(readTheme(environment.remember));
const client = new Client(browserTransport(environment), environment);
void client.session.restore();

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <ClientContext value={client}>
        <App />
      </ClientContext>
    </StrictMode>,
  );
}
