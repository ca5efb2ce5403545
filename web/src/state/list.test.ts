import { beforeEach, describe, expect, it } from 'vitest';
import type { Page } from '../protocol/types';
import { PagedList } from './list';
import { settle } from './testing/scripted';

/** A reading that the test answers. */
interface Asked {
  of: string;
  from: string | undefined;
  answer: (items: string[], nextCursor?: string) => Promise<void>;
  fail: () => Promise<void>;
}

let asked: Asked[];
let failures: number;
let list: PagedList<string>;

/** The reading made last. */
function last(): Asked {
  const newest = asked.at(-1);
  if (!newest) throw new Error('nothing was read');
  return newest;
}

const readerOf = (of: string) => (from?: string) =>
  new Promise<Page<string>>((resolve, reject) => {
    asked.push({
      of,
      from,
      answer: (items, nextCursor) => {
        resolve({ items, nextCursor: nextCursor ?? null });
        return settle();
      },
      fail: () => {
        reject(new Error('offline'));
        return settle();
      },
    });
  });

beforeEach(() => {
  asked = [];
  failures = 0;
  list = new PagedList(() => {
    failures += 1;
  });
});

describe('a list read page by page', () => {
  it('that failed and is read again takes the answer, however late it comes', async () => {
    list.readBy(readerOf('a'));
    await last().fail();
    expect(list.get()).toMatchObject({ status: 'failed', items: [] });
    list.again();
    expect(list.get().status).toBe('loading');
    await last().answer(['one']);
    expect(list.get()).toEqual({ status: 'ready', items: ['one'], cursor: null });
    expect(failures).toBe(1);
  });

  it('that fails again says so, and can be read once more', async () => {
    list.readBy(readerOf('a'));
    await last().fail();
    list.again();
    await last().fail();
    expect(list.get().status).toBe('failed');
    list.again();
    await last().answer(['one']);
    expect(list.get().items).toEqual(['one']);
    list.again();
    expect(asked).toHaveLength(3);
  });

  it('whose second page failed keeps the first and reads on from there', async () => {
    list.readBy(readerOf('a'));
    await last().answer(['one'], 'c2');
    list.more();
    await last().fail();
    expect(list.get()).toEqual({ status: 'failed', items: ['one'], cursor: 'c2' });
    list.again();
    expect(last().from).toBe('c2');
    await last().answer(['two']);
    expect(list.get()).toEqual({ status: 'ready', items: ['one', 'two'], cursor: null });
  });

  it('takes no page of what was asked for before', async () => {
    list.readBy(readerOf('old'));
    await last().answer(['old one'], 'c2');
    list.more();
    const late = last();
    list.readBy(readerOf('new'));
    await last().answer(['new one']);
    await late.answer(['old two'], 'c3');
    expect(list.get()).toEqual({ status: 'ready', items: ['new one'], cursor: null });
  });

  it('is not called failed by what was asked for before', async () => {
    list.readBy(readerOf('old'));
    const late = last();
    list.readBy(readerOf('new'));
    await late.fail();
    expect(list.get().status).toBe('loading');
    await last().answer(['new one']);
    expect([list.get().status, failures]).toEqual(['ready', 1]);
  });

  it('asks for a page once, and for none that is not there', async () => {
    list.readBy(readerOf('a'));
    list.more();
    await last().answer(['one'], 'c2');
    list.more();
    list.more();
    expect(asked.map(({ from }) => from)).toEqual([undefined, 'c2']);
    await last().answer(['two']);
    list.more();
    expect(asked).toHaveLength(2);
  });

  it('begins with the first page when it is read in another way', async () => {
    list.readBy(readerOf('old'));
    await last().answer(['old one'], 'c2');
    list.readBy(readerOf('new'));
    await last().fail();
    list.again();
    expect(last()).toMatchObject({ of: 'new', from: undefined });
  });

  it('tells of what was changed by hand', async () => {
    list.readBy(readerOf('a'));
    await last().answer(['one', 'two']);
    let told = 0;
    const stop = list.subscribe(() => {
      told += 1;
    });
    list.change((items) => items.filter((item) => item !== 'one'));
    stop();
    list.change(() => []);
    expect([list.get().items, told]).toEqual([[], 1]);
  });
});
