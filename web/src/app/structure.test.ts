import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '..');

interface Source {
  path: string;
  layer: string;
  feature: string | undefined;
  text: string;
  imports: string[];
}

function sources(): Source[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.tsx?$/.test(path) && !/\.test\.tsx?$/.test(path))
    .map((path) => {
      const text = readFileSync(join(root, path), 'utf8');
      const found = [...text.matchAll(/from '(\.[^']+)'/g)].map((m) => m[1] ?? '');
      const imports = found.map((to) => relative(root, resolve(root, dirname(path), to)));
      const [layer = '', feature] = path.split('/');
      return { path, layer, feature: layer === 'features' ? feature : undefined, text, imports };
    });
}

/** What each layer may import from, besides itself. */
const MAY: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  transport: ['protocol'],
  state: ['protocol', 'transport'],
  ui: ['protocol'],
  features: ['protocol', 'state', 'ui'],
  app: ['protocol', 'state', 'transport', 'ui', 'features'],
};

describe('structure', () => {
  it('layers import only from below', () => {
    const wrong = sources().flatMap((source) =>
      source.imports
        .map((to) => ({ to, layer: to.split('/')[0] ?? '' }))
        .filter(({ layer }) => layer !== source.layer && !MAY[source.layer]?.includes(layer))
        .map(({ to }) => `${source.path} imports ${to}`),
    );
    expect(wrong).toEqual([]);
  });

  it('no feature imports another', () => {
    const wrong = sources()
      .filter((s) => s.feature !== undefined)
      .flatMap((s) =>
        s.imports
          .filter((to) => to.startsWith('features/') && to.split('/')[1] !== s.feature)
          .map((to) => `${s.path} imports ${to}`),
      );
    expect(wrong).toEqual([]);
  });

  it('only transport touches the network, cookies and storage', () => {
    const network =
      /(?<![#\w])fetch\(|\bnew WebSocket\b|XMLHttpRequest|EventSource|document\.cookie|localStorage/;
    const wrong = sources().filter((s) => s.layer !== 'transport' && network.test(s.text));
    expect(wrong.map((s) => s.path)).toEqual([]);
  });

  it('files stay short', () => {
    const long = sources().filter((s) => s.text.split('\n').length > 400);
    expect(long.map((s) => s.path)).toEqual([]);
  });
});
