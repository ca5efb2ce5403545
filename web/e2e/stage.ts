/** A server and a browser for the tests of one file, gone when these are done. */

import { mkdirSync } from 'node:fs';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll } from 'vitest';
import { createChannel, joinChannel, launch, openPage, SCREENSHOTS, signUp } from './browser';
import { Server } from './server';

export class Stage {
  #server: Server | undefined;
  #browser: Browser | undefined;

  get server(): Server {
    return there(this.#server);
  }

  get browser(): Browser {
    return there(this.#browser);
  }

  /** A window of a browser of its own, as of another person. */
  open(options: BrowserContextOptions = {}): Promise<Page> {
    return openPage(this.browser, options);
  }

  /** The window of someone with an account. */
  async person(name: string, options: BrowserContextOptions = {}): Promise<Page> {
    const page = await this.open(options);
    await signUp(page, this.server.url, name);
    return page;
  }

  /** The window of the first administrator. */
  async administrator(name = 'Root'): Promise<Page> {
    const page = await this.open();
    await signUp(page, this.server.url + this.server.setupPath(), name);
    return page;
  }

  /** The windows of Ann and Bo, both in a public channel that Ann made. */
  async twoIn(
    channel: string,
    ofAnn: BrowserContextOptions = {},
    ofBo: BrowserContextOptions = {},
  ): Promise<[Page, Page]> {
    const ann = await this.person('Ann', ofAnn);
    const bo = await this.person('Bo', ofBo);
    await createChannel(ann, channel);
    await joinChannel(bo, channel);
    return [ann, bo];
  }

  async raise(env: Record<string, string>): Promise<void> {
    mkdirSync(SCREENSHOTS, { recursive: true });
    this.#server = await Server.start(env);
    this.#browser = await launch();
  }

  async clear(): Promise<void> {
    await this.#browser?.close();
    await this.#server?.remove();
  }
}

/** Set up before the tests of the file that calls it; `prepare` comes right after. */
export function stage(
  prepare: (stage: Stage) => Promise<void> = async () => {},
  env: Record<string, string> = {},
): Stage {
  const made = new Stage();
  beforeAll(async () => {
    await made.raise(env);
    await prepare(made);
  });
  afterAll(() => made.clear());
  return made;
}

function there<T>(part: T | undefined): T {
  if (part === undefined) throw new Error('the stage is not set up yet');
  return part;
}
