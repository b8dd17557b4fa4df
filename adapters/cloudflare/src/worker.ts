/** The HTTP front of sandboxes: routes, and who may ask. README.md lists them. */
import * as check from "./checks";
import { Refused, refusal } from "./checks";
import { desk, type Env } from "./desk";
import * as sandbox from "./sandbox";

const LEASE_MOST_S = 24 * 3600;
const WAIT_MOST_S = 60;
const RUN_AGENT = ["python3", "-I", "-S", "-X", "utf8", "/opt/chomp/run-agent"];

type Handler = (asked: { request: Request; url: URL; env: Env; id: string; context: ExecutionContext }) => Promise<Response>;

/** Of a sandbox that is there. Asking for one that is not starts none, and one that the platform took away is forgotten. */
const known =
  (handler: Handler): Handler =>
  async (asked) => {
    const { id, env } = asked;
    if (!(await desk(env).renew(id))) throw new Refused(404, "no_sandbox", "no such sandbox");
    try {
      return await handler(asked);
    } catch (error) {
      // By asking, an empty container was started in its place. Ended before the answer: who opens it anew comes after that.
      if (error instanceof Refused && error.code === "no_sandbox") await end(env, id).catch(console.error);
      throw error;
    }
  };

async function end(env: Env, id: string): Promise<boolean> {
  const lease = await desk(env).find(id);
  if (lease === null) return false;
  await sandbox.destroy(env.Sandbox, id); // first: what could not be destroyed stays noted, and the alarm tries again
  await desk(env).forget(id, lease.opening);
  return true;
}

const health: Handler = async ({ url, env }) => {
  const owner = url.searchParams.get("owner");
  return Response.json({ status: "ok", service: "chomp-sandbox", version: 1, tunnel: await desk(env).hasTunnel(owner) });
};

const dispatch: Handler = async ({ request, env, context }) => {
  const fields = await check.json(request);
  const id = check.sandboxId(fields.id);
  const lease_s = check.whole(fields.lease_s, "lease_s", Number(env.LEASE_LEAST_S ?? 60), LEASE_MOST_S);
  if (!(await desk(env).register(id, check.name(fields.owner, "owner"), lease_s))) throw new Refused(409, "other_owner", "a sandbox of somebody else");
  const opening = open(env, id, lease_s);
  context.waitUntil(opening.catch(() => {})); // whoever asked may leave: what was begun is looked after to its end
  return Response.json({ id, status: await opening });
};

async function open(env: Env, id: string, lease_s: number): Promise<"started" | "running"> {
  let status: "started" | "running";
  try {
    status = await sandbox.open(env.Sandbox, id, lease_s);
  } catch (error) {
    await end(env, id).catch(console.error);
    throw error;
  }
  if ((await desk(env).find(id)) === null) {
    await sandbox.destroy(env.Sandbox, id); // it was ended before it was there
    throw new Refused(404, "no_sandbox", "it was ended while it was opened");
  }
  return status;
}

const exec: Handler = async ({ request, env, id }) => {
  const fields = await check.json(request);
  const command = {
    argv: check.argv(fields.argv),
    env: check.environment(fields.env),
    cwd: fields.cwd === undefined || fields.cwd === null ? undefined : check.path(fields.cwd, "cwd"),
    timeout_s: check.whole(fields.timeout_s, "timeout_s", 1, 120, 30),
  };
  return Response.json(await sandbox.exec(env.Sandbox, id, command));
};

const putFile: Handler = async ({ request, url, env, id }) => {
  const path = check.path(url.searchParams.get("path"));
  const offset = check.whole(url.searchParams.get("offset"), "offset", 0, 2 ** 40, 0);
  const body = await check.bytes(request, check.FILE_BYTES);
  return Response.json({ size: await sandbox.write(env.Sandbox, id, path, offset, body) });
};

const getFile: Handler = async ({ url, env, id }) => {
  const path = check.path(url.searchParams.get("path"));
  const offset = check.whole(url.searchParams.get("offset"), "offset", 0, 2 ** 40, 0);
  const most = check.whole(url.searchParams.get("most"), "most", 0, check.FILE_BYTES, check.FILE_BYTES);
  const { body, size } = await sandbox.read(env.Sandbox, id, path, offset, most);
  return new Response(body, { headers: { "content-type": "application/octet-stream", "x-size": String(size) } });
};

async function readRun(env: Env, id: string, url: URL, since: number, wait_s: number, most: number): Promise<Response> {
  const run = check.name(url.searchParams.get("run"), "run");
  const events = check.whole(url.searchParams.get("events"), "events", 0, 2 ** 40, 0);
  const argv = [...RUN_AGENT, "read", run, String(since), String(wait_s), String(most), String(events)];
  const ran = await sandbox.exec(env.Sandbox, id, { argv, timeout_s: wait_s + 20 });
  if (ran.exit_code !== 0) throw new Refused(502, "run_agent", (ran.stdout + ran.stderr).trim().slice(0, 300) || `exit ${ran.exit_code}`);
  return new Response(ran.stdout, { headers: { "content-type": "application/json" } });
}

const status: Handler = async ({ url, env, id }) => readRun(env, id, url, 0, 0, 0);

const logs: Handler = async ({ url, env, id }) => {
  const since = check.whole(url.searchParams.get("since"), "since", 0, 2 ** 50, 0);
  const wait_s = check.whole(url.searchParams.get("wait"), "wait", 0, WAIT_MOST_S, 0);
  const most = check.whole(url.searchParams.get("most"), "most", 0, check.FILE_BYTES, 256 * 1024);
  return readRun(env, id, url, since, wait_s, most);
};

const kill: Handler = async ({ env, id }) => Response.json({ id, status: (await end(env, id)) ? "destroyed" : "gone" });

const list: Handler = async ({ url, env }) => {
  const owner = url.searchParams.get("owner");
  const leases = await desk(env).list(owner === null ? null : check.name(owner, "owner"));
  return Response.json({ sandboxes: leases.map(({ id, owner, opened_at, lease_until }) => ({ id, owner, opened_at, lease_until })) });
};

const ticket: Handler = async ({ request, env, id }) => {
  const run = check.name((await check.json(request)).run, "run");
  return Response.json({ ticket: await desk(env).ticket(id, run), expires_s: 60 });
};

function upgrades(request: Request): void {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") throw new Refused(426, "no_upgrade", "a WebSocket is asked for here");
}

const tunnel: Handler = async ({ request, url, env }) => {
  const owner = check.name(url.searchParams.get("owner"), "owner");
  upgrades(request);
  return desk(env).fetch(new Request(`https://desk/tunnel/${owner}`, request));
};

/** No bearer: browsers cannot send one with an upgrade. The ticket says which run. */
const terminal: Handler = async (asked) => {
  const { request, url, env, id } = asked;
  upgrades(request);
  const cols = check.whole(url.searchParams.get("cols"), "cols", 1, 1000, 80);
  const rows = check.whole(url.searchParams.get("rows"), "rows", 1, 1000, 24);
  const run = await desk(env).redeem(url.searchParams.get("ticket") ?? "", id);
  if (run === null) throw new Refused(403, "ticket", "no ticket for this, or a used one");
  const attach = [...RUN_AGENT, "attach", run];
  return known(() => sandbox.terminal(env.Sandbox, id, `attach-${run}`, attach, request, cols, rows))(asked);
};

/** No bearer: its key is what the sandbox has. Renews nothing: an agent must not keep itself alive when chomp is gone. */
const from: Handler = async ({ request, url, env, id }) => {
  const [, , , key = "", ...rest] = url.pathname.split("/");
  if (!(await check.same(key, await check.sandboxKey(env.DISPATCH_TOKEN ?? "", id)))) throw new Refused(403, "key", "not the key of this sandbox");
  const lease = await desk(env).find(id);
  if (lease === null) throw new Refused(404, "no_sandbox", "no such sandbox");
  if (request.headers.has("upgrade")) throw new Refused(501, "no_upgrade", "no WebSockets through the tunnel");
  return desk(env).fetch(new Request(`https://desk/from/${lease.owner}/${rest.join("/")}${url.search}`, request));
};

const ROUTES: [string, RegExp, Handler][] = [
  ["GET", /^\/health$/, health],
  ["POST", /^\/dispatch$/, dispatch],
  ["POST", /^\/exec\/([^/]+)$/, known(exec)],
  ["PUT", /^\/files\/([^/]+)$/, known(putFile)],
  ["GET", /^\/files\/([^/]+)$/, known(getFile)],
  ["GET", /^\/status\/([^/]+)$/, known(status)],
  ["GET", /^\/logs\/([^/]+)$/, known(logs)],
  ["POST", /^\/kill\/([^/]+)$/, kill],
  ["GET", /^\/sandboxes$/, list],
  ["POST", /^\/ticket\/([^/]+)$/, known(ticket)],
  ["GET", /^\/tunnel$/, tunnel],
];

/** These answer for themselves whom they let in. */
const OPEN_ROUTES: [string, RegExp, Handler][] = [
  ["GET", /^\/ws\/terminal\/([^/]+)$/, terminal],
  ["*", /^\/from\/([^/]+)\/[^/]+\//, from],
];

async function bearer(request: Request, token: string): Promise<void> {
  const [, sent = ""] = /^bearer +(.+)$/i.exec(request.headers.get("authorization") ?? "") ?? [];
  if (!(await check.same(sent, token))) throw new Refused(401, "unauthorized", "Authorization: Bearer DISPATCH_TOKEN");
}

async function answer(request: Request, env: Env, context: ExecutionContext): Promise<Response> {
  if (!env.DISPATCH_TOKEN) throw new Refused(503, "token_unset", "DISPATCH_TOKEN is not set: bin/sandbox deploy sets it");
  const url = new URL(request.url);
  const match = (routes: typeof ROUTES) => {
    for (const [method, pattern, handler] of routes) {
      const found = pattern.exec(url.pathname);
      if (found && (method === "*" || method === request.method)) return { handler, found };
    }
    return undefined;
  };
  let route = match(OPEN_ROUTES);
  if (!route) {
    await bearer(request, env.DISPATCH_TOKEN); // before the route is looked for: a stranger learns nothing
    route = match(ROUTES);
  }
  if (!route) throw new Refused(404, "no_route", "no such route");
  const id = route.found[1] === undefined ? "" : check.sandboxId(route.found[1]);
  return route.handler({ request, url, env, id, context });
}

export default {
  async fetch(request, env, context): Promise<Response> {
    try {
      return await answer(request, env, context);
    } catch (error) {
      return refusal(error);
    }
  },
} satisfies ExportedHandler<Env>;
