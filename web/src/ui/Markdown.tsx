import { Fragment, memo, type ReactNode } from 'react';
import { type Block, type Inline, parseMarkdown } from './markdown';

/** A message's text with its marks. React escapes everything; no HTML is made from strings. */
export const Markdown = memo(function Markdown({ source }: { source: string }) {
  return <>{parseMarkdown(source).map((block, i) => withKey(i, renderBlock(block)))}</>;
});

function withKey(key: number, node: ReactNode): ReactNode {
  return <Fragment key={key}>{node}</Fragment>;
}

function renderBlock(block: Block): ReactNode {
  switch (block.kind) {
    case 'code':
      return (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: long lines are scrolled by keyboard too
        <pre tabIndex={0}>
          <code>{block.text}</code>
        </pre>
      );
    case 'quote':
      return <blockquote>{renderAll(block.children)}</blockquote>;
    case 'paragraph':
      return <p>{renderAll(block.children)}</p>;
  }
}

function renderAll(nodes: readonly Inline[]): ReactNode {
  return nodes.map((node, i) => withKey(i, renderInline(node)));
}

function renderInline(node: Inline): ReactNode {
  switch (node.kind) {
    case 'text':
      return node.text;
    case 'code':
      return <code>{node.text}</code>;
    case 'strong':
      return <strong>{renderAll(node.children)}</strong>;
    case 'em':
      return <em>{renderAll(node.children)}</em>;
    case 'del':
      return <del>{renderAll(node.children)}</del>;
    case 'link':
      return (
        <a href={node.href} target="_blank" rel="noopener noreferrer nofollow">
          {renderAll(node.children)}
        </a>
      );
  }
}
