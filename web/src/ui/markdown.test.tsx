import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, it } from 'vitest';
import { Markdown } from './Markdown';
import { parseMarkdown, plainText, safeHref } from './markdown';

const html = (source: string) => renderToStaticMarkup(<Markdown source={source} />);

describe('markdown', () => {
  it.each([
    ['plain text', '<p>plain text</p>'],
    [
      '**bold** and *thin* and _thin_',
      '<p><strong>bold</strong> and <em>thin</em> and <em>thin</em></p>',
    ],
    ['**bold *both***', '<p><strong>bold <em>both</em></strong></p>'],
    ['~~gone~~', '<p><del>gone</del></p>'],
    ['`a **b** <i>`', '<p><code>a **b** &lt;i&gt;</code></p>'],
    ['```js\nlet a = 1;\n\n**x**\n```', '<pre tabindex="0"><code>let a = 1;\n\n**x**</code></pre>'],
    ['> quoted\n> more\nanswer', '<blockquote>quoted\nmore</blockquote><p>answer</p>'],
    ['snake_case_name and 2 * 3 * 4', '<p>snake_case_name and 2 * 3 * 4</p>'],
    ['```not closed', '<p>```not closed</p>'],
    ['**not closed', '<p>**not closed</p>'],
    ['', ''],
  ])('%j', (source, expected) => {
    expect(html(source)).toBe(expected);
  });

  it('links open apart and tell nothing of where they were', () => {
    expect(html('[site](https://example.org/a?b=1)')).toBe(
      '<p><a href="https://example.org/a?b=1" target="_blank" rel="noopener noreferrer nofollow">site</a></p>',
    );
  });

  it('bare addresses end before the sentence does', () => {
    expect(parseMarkdown('see https://example.org/x_(y), or (http://a.example).')).toEqual([
      {
        kind: 'paragraph',
        children: [
          { kind: 'text', text: 'see ' },
          {
            kind: 'link',
            href: 'https://example.org/x_(y)',
            children: [{ kind: 'text', text: 'https://example.org/x_(y)' }],
          },
          { kind: 'text', text: ', or (' },
          {
            kind: 'link',
            href: 'http://a.example/',
            children: [{ kind: 'text', text: 'http://a.example' }],
          },
          { kind: 'text', text: ').' },
        ],
      },
    ]);
  });

  it.each(['javascript:alert(1)', 'data:text/html,x', ' javascript:x', 'file:///etc', '//x', 'x'])(
    'the address %j is not followed',
    (href) => {
      expect(safeHref(href)).toBeNull();
      expect(html(`[x](${href})`)).not.toContain('<a ');
    },
  );

  it('HTML stays text', () => {
    expect(html('<img src=x onerror=alert(1)>')).toBe('<p>&lt;img src=x onerror=alert(1)&gt;</p>');
  });

  it('hostile text of full length is read quickly', () => {
    for (const piece of ['*a ', '**a', '_a', '[a](', '`', '~~', '> ', 'http://', '***', '```a\n']) {
      const source = piece.repeat(40_000 / piece.length);
      const started = performance.now();
      parseMarkdown(source);
      expect(performance.now() - started).toBeLessThan(2_000);
    }
  });

  it('plain text keeps the words and cuts between characters', () => {
    expect(plainText('**Hi** `there`\n> you')).toBe('Hi there you');
    expect(plainText('😀'.repeat(10), 5)).toBe('😀😀😀😀…');
  });
});
