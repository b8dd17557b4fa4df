/** What must be known in one place: which sandboxes are there and until when, tickets, and the tunnels of their owners. */
import { DurableObject } from "cloudflare:workers";
import { name, Refused } from "./checks";
import * as sandbox from "./sandbox";
import { Tunnel } from "./tunnel";

const TICKET_S = 60;
const TUNNEL_WAIT_S = 30;
const SILENT_S = 60; // a chomp that says "ping" and then nothing for so long is gone: its laptop sleeps
const AGAIN_S = 60; // a sandbox that could not be destroyed is tried again

export interface Env {
  Sandbox: sandbox.Sandboxes;
  Desk: DurableObjectNamespace<Desk>;
  DISPATCH_TOKEN?: string;
  LEASE_LEAST_S?: string; // tests do not wait a minute
}

export interface Lease {
  id: string;
  owner: string;
  opened_at: number;
  lease_s: number;
  lease_until: number;
  opening: string; // another one each time it is dispatched
}

interface Ticket {
  id: string;
  run: string;
  until: number;
}

const now = () => Math.floor(Date.now() / 1000);

export function desk(env: Env): DurableObjectStub<Desk> {
  return env.Desk.get(env.Desk.idFromName("desk"));
}

export class Desk extends DurableObject<Env> {
  #leases = new Map<string, Lease>();
  #tunnels = new Map<string, Tunnel>();
  #waiting = new Map<string, Set<(tunnel: Tunnel) => void>>();

  constructor(state: DurableObjectState, env: Env) {
    super(state, env);
    state.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong")); // answered without waking this object
    void state.blockConcurrencyWhile(async () => {
      for (const [key, lease] of await state.storage.list<Lease>({ prefix: "lease:" })) this.#leases.set(key.slice(6), lease);
      // Sockets outlive the sleep of this object; nothing was under way on them, or it would not have slept.
      for (const socket of state.getWebSockets()) this.#tunnels.set(socket.deserializeAttachment() as string, new Tunnel(socket));
      await this.#wind();
    });
  }

  // -- leases --

  /** Notes the sandbox before it is started: what is started and not noted would never be found again. */
  async register(id: string, owner: string, lease_s: number): Promise<boolean> {
    const known = this.#leases.get(id);
    if (known && known.owner !== owner) return false;
    await this.#keep({ id, owner, opened_at: known?.opened_at ?? now(), lease_s, lease_until: now() + lease_s, opening: crypto.randomUUID() });
    return true;
  }

  /** Every request for a sandbox renews its lease. Written when it moves by a tenth, so that polling does not write all the time. */
  async renew(id: string): Promise<boolean> {
    const lease = this.#leases.get(id);
    if (!lease) return false;
    const until = now() + lease.lease_s;
    if (until - lease.lease_until >= lease.lease_s / 10) await this.#keep({ ...lease, lease_until: until });
    return true;
  }

  async #keep(lease: Lease): Promise<void> {
    this.#leases.set(lease.id, lease);
    await this.ctx.storage.put(`lease:${lease.id}`, lease);
    await this.#wind();
  }

  find(id: string): Lease | null {
    return this.#leases.get(id) ?? null;
  }

  list(owner: string | null): Lease[] {
    return [...this.#leases.values()].filter((lease) => owner === null || lease.owner === owner);
  }

  /** After it was destroyed. One that was dispatched again meanwhile stays noted: at worst it is found to be gone. */
  async forget(id: string, opening: string): Promise<void> {
    if (this.#leases.get(id)?.opening !== opening) return;
    this.#leases.delete(id);
    await this.ctx.storage.delete(`lease:${id}`);
  }

  /** Sets the alarm to the first end of a lease, or leaves an earlier one: it looks again. `anew` while one rings, which counts as none. */
  async #wind(anew = false): Promise<void> {
    const first = 1000 * Math.min(...[...this.#leases.values()].map((lease) => lease.lease_until));
    const set = anew ? null : await this.ctx.storage.getAlarm();
    if (Number.isFinite(first) && (set === null || set > first)) await this.ctx.storage.setAlarm(first);
  }

  /** Leases that are over end their sandboxes: nobody asks for them any more, and they cost. */
  override async alarm(): Promise<void> {
    const over = [...this.#leases.values()].filter((lease) => lease.lease_until <= now());
    await Promise.all(over.map((lease) => this.#expire(lease)));
    for (const [key, ticket] of await this.ctx.storage.list<Ticket>({ prefix: "ticket:" })) if (ticket.until < now()) await this.ctx.storage.delete(key);
    await this.#wind(true);
  }

  async #expire(lease: Lease): Promise<void> {
    try {
      await sandbox.destroy(this.env.Sandbox, lease.id);
      await this.forget(lease.id, lease.opening);
    } catch (error) {
      console.error(error);
      if (this.#leases.get(lease.id)?.opening === lease.opening) await this.#keep({ ...lease, lease_until: now() + AGAIN_S });
    }
  }

  // -- tickets --

  async ticket(id: string, run: string): Promise<string> {
    const ticket = crypto.randomUUID();
    await this.ctx.storage.put<Ticket>(`ticket:${ticket}`, { id, run, until: now() + TICKET_S });
    return ticket;
  }

  /** The run it was made for; good once. */
  async redeem(ticket: string, id: string): Promise<string | null> {
    const key = `ticket:${ticket}`;
    const made = await this.ctx.storage.get<Ticket>(key);
    if (!made || made.id !== id) return null;
    await this.ctx.storage.delete(key);
    return made.until >= now() ? made.run : null;
  }

  // -- tunnels --

  hasTunnel(owner: string | null): boolean {
    return owner === null ? this.#tunnels.size > 0 : this.#tunnels.has(owner);
  }

  /** `/tunnel/OWNER`: the owner's own connection. `/from/OWNER/PATH`: a request of one of its sandboxes. The Worker has checked both. */
  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const [, what, owner = "", ...rest] = url.pathname.split("/");
    name(owner, "owner");
    if (what === "tunnel") return this.#connect(owner);
    try {
      const tunnel = this.#live(owner) ?? (await this.#tunnel(owner, request.signal));
      return await tunnel.open(request, `/${rest.join("/")}${url.search}`);
    } catch (error) {
      // The caller is an agent's SDK: an error in the shape that those read.
      const refused = error instanceof Refused ? error : new Refused(502, "tunnel_failed", "chomp could not be asked");
      const headers = { "retry-after": String(refused.retry_after_s ?? 5) };
      return Response.json({ error: { message: refused.message, type: "server_error", code: refused.code } }, { status: refused.status, headers });
    }
  }

  #connect(owner: string): Response {
    const { 0: theirs, 1: ours } = new WebSocketPair();
    this.ctx.acceptWebSocket(ours, [owner]); // this way an idle tunnel does not keep the object awake, which would cost
    ours.serializeAttachment(owner);
    this.#tunnels.get(owner)?.close("a newer one came", 4000);
    const tunnel = new Tunnel(ours);
    this.#tunnels.set(owner, tunnel);
    for (const go of this.#waiting.get(owner) ?? []) go(tunnel);
    this.#waiting.delete(owner);
    return new Response(null, { status: 101, webSocket: theirs });
  }

  #live(owner: string): Tunnel | undefined {
    const tunnel = this.#tunnels.get(owner);
    const pinged_at = tunnel && this.ctx.getWebSocketAutoResponseTimestamp(tunnel.socket);
    if (!tunnel || !pinged_at || Date.now() - pinged_at.getTime() < SILENT_S * 1000) return tunnel;
    this.#tunnels.delete(owner);
    tunnel.close("silent", 4002);
    return undefined;
  }

  /** The owner's next tunnel: a chomp that starts again is back in seconds. */
  async #tunnel(owner: string, gone: AbortSignal): Promise<Tunnel> {
    const { promise, resolve, reject } = Promise.withResolvers<Tunnel>();
    const waiting = this.#waiting.get(owner) ?? new Set();
    this.#waiting.set(owner, waiting.add(resolve));
    const timer = setTimeout(() => reject(new Refused(503, "tunnel_down", "chomp is not connected", 10)), TUNNEL_WAIT_S * 1000);
    gone.addEventListener("abort", () => reject(new Refused(499, "client_gone", "the sandbox left")));
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      waiting.delete(resolve);
    }
  }

  #of(socket: WebSocket): Tunnel | undefined {
    const tunnel = this.#tunnels.get(socket.deserializeAttachment() as string);
    return tunnel?.socket === socket ? tunnel : undefined; // an older one is replaced and says nothing any more
  }

  override webSocketMessage(socket: WebSocket, message: ArrayBuffer | string): void {
    this.#of(socket)?.receive(message);
  }

  override webSocketClose(socket: WebSocket): void {
    const tunnel = this.#of(socket);
    if (!tunnel) return;
    this.#tunnels.delete(socket.deserializeAttachment() as string);
    tunnel.close("closed");
  }

  override webSocketError(socket: WebSocket): void {
    this.webSocketClose(socket);
  }
}
