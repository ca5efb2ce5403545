/** Runs the real server on loopback, for as long as a test needs it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const START_LIMIT_MS = 20_000;
const READY_LIMIT_MS = 2_000;

/** `KLATCH_BIN`, else the development build of this checkout. */
const BINARY =
  process.env.KLATCH_BIN ??
  join(
    process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../../target', import.meta.url)),
    'debug/klatch',
  );

/** What still runs when a test ends badly must not outlive it. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class Server {
  readonly port: number;
  readonly dataDir: string;
  /** All it wrote since its last start. */
  output = '';
  #child: ChildProcess | null = null;
  readonly #env: Record<string, string>;

  private constructor(port: number, dataDir: string, env: Record<string, string>) {
    this.port = port;
    this.dataDir = dataDir;
    this.#env = env;
  }

  /** `env` is added to what configures it. */
  static async start(env: Record<string, string> = {}): Promise<Server> {
    const dataDir = mkdtempSync(join(tmpdir(), 'klatch-web-e2e-'));
    const server = new Server(await freePort(), dataDir, env);
    try {
      await server.up();
    } catch (error) {
      await server.remove();
      throw error;
    }
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts it on the same port and data as before. */
  async up(): Promise<void> {
    const listen = `127.0.0.1:${this.port}`;
    const args = ['serve', '--listen', listen, '--data-dir', this.dataDir, '--demo'];
    // One machine stands for many people.
    const env = { ...process.env, KLATCH_LIMITS__PROFILE: 'test', ...this.#env };
    const child = spawn(BINARY, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    running.add(child);
    child.once('exit', () => running.delete(child));
    this.output = '';
    const hear = (chunk: Buffer) => {
      this.output += chunk.toString();
    };
    child.stdout?.on('data', hear);
    child.stderr?.on('data', hear);
    child.on('error', (error) => {
      this.output += String(error);
    });
    const end = Date.now() + START_LIMIT_MS;
    while (!(await this.#ready())) {
      if (child.exitCode !== null || Date.now() > end) {
        throw new Error(`the server did not start:\n${this.output}`);
      }
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  /** Ends it without warning, as a power cut would end the process. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((done) => child.once('exit', done));
    child.kill('SIGKILL');
    await ended;
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  /** The link that makes the first administrator, as printed at the first start. */
  setupPath(): string {
    const found = /\/#\/setup\/[\w.~-]+/.exec(this.output)?.[0];
    if (!found) throw new Error(`no setup link was printed:\n${this.output}`);
    return found;
  }

  async #ready(): Promise<boolean> {
    try {
      const signal = AbortSignal.timeout(READY_LIMIT_MS);
      return (await fetch(`${this.url}/readyz`, { signal })).ok;
    } catch {
      return false;
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}
