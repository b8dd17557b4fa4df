/** The SDK's Durable Object for tests: the RPC names that the SDK's proxy calls, done by the emulator. */
import { DurableObject } from "cloudflare:workers";

interface Env {
  EMULATOR: Fetcher;
}

export class Sandbox extends DurableObject<Env> {
  get #name(): string {
    return this.ctx.id.name ?? "";
  }

  async #call(method: string, ...args: unknown[]): Promise<unknown> {
    const response = await this.env.EMULATOR.fetch(`http://emulator/rpc/${this.#name}/${method}`, { method: "POST", body: JSON.stringify(args) });
    const { result, error } = (await response.json()) as { result?: unknown; error?: string };
    if (error !== undefined) throw new Error(error);
    return result;
  }

  configure(configuration: unknown) {
    return this.#call("configure", configuration);
  }

  /** What `exec` becomes with `enableDefaultSession: false`. */
  execWithSessionToken(command: string, session: string, options: unknown) {
    return this.#call("exec", command, session, options);
  }

  writeFile(path: string, content: string, options: unknown) {
    return this.#call("writeFile", path, content, options);
  }

  createSession(options: unknown) {
    return this.#call("createSession", options);
  }

  getSession(id: string) {
    return { id, terminal: null };
  }

  destroy() {
    return this.#call("destroy");
  }

  /** A terminal comes as an upgrade of /ws/pty. */
  override fetch(request: Request) {
    return this.env.EMULATOR.fetch(new Request(`http://emulator/pty/${this.#name}${new URL(request.url).search}`, request));
  }
}
