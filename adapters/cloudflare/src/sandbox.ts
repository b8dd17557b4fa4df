/** The one file that knows Cloudflare's Sandbox SDK. Above it a sandbox is: open, exec, write, read, terminal, destroy.
 *
 * - `enableDefaultSession: false`: every exec is a process of its own. With the default session each command goes through
 *   one bash, one at a time (the SDK holds a lock per session), and a poll that waits 20 s would hold up all others.
 * - `env` goes through the SDK's own option, which hands it to the process as it is. The command line cannot carry it: the
 *   SDK logs every command.
 * - startProcess, execStream and gitCheckout are not used: their ends are events, and an event is no proof of an end.
 * - The platform restarts an evicted container, empty, at the next call and says nothing. So `open` leaves a mark in it, and
 *   whatever finds no mark says that the sandbox is gone.
 * - A sandbox sleeps after its lease, not before: chomp may be away for as long.
 */
import { getSandbox, type Sandbox } from "@cloudflare/sandbox";
import { Refused, WORD_BYTES } from "./checks";

export { Sandbox } from "@cloudflare/sandbox";
export type Sandboxes = DurableObjectNamespace<Sandbox>;

const OPEN_S = 90; // the SDK retries for two minutes and more when the platform has no container to give
const SLACK_S = 15; // for the way there; the SDK itself ends a command at its time
const MARK = "/run/chomp.opened";
const PARTS = "/run/chomp.parts";
const GONE = new Refused(404, "no_sandbox", "no such sandbox, or the platform has taken it away");

export interface Ran {
  exit_code: number;
  stdout: string;
  stderr: string;
}

export interface Command {
  argv: string[];
  env?: Record<string, string>;
  cwd?: string;
  timeout_s: number;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** What the SDK throws, by its words: errors lose class and fields on their way out of a Durable Object. */
function failure(error: unknown): Refused {
  if (error instanceof Refused) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (/no container instance|container instances exceeded|container is starting|capacity/i.test(message))
    return new Refused(503, "capacity", "the platform has no container to give now", 30);
  if (/rate.?limit|too many requests|\b429\b/i.test(message)) return new Refused(429, "rate_limit", "the platform asks to slow down", 30);
  console.error(error);
  return new Refused(502, "sandbox", `the sandbox failed: ${message.slice(0, 300)}`, 5);
}

async function within<T>(seconds: number, work: Promise<T>, late: Refused): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  try {
    return await Promise.race([work, new Promise<never>((_, reject) => (timer = setTimeout(() => reject(late), seconds * 1000)))]);
  } catch (error) {
    throw failure(error);
  } finally {
    clearTimeout(timer);
  }
}

function ready(sandboxes: Sandboxes, id: string) {
  return getSandbox(sandboxes, id, { enableDefaultSession: false });
}

/** Runs a line of shell in the sandbox. Only this file writes such lines; what a caller sends is quoted. */
async function shell(sandboxes: Sandboxes, id: string, line: string, timeout_s: number, env?: Record<string, string>): Promise<Ran> {
  if (new TextEncoder().encode(line).length > WORD_BYTES) throw new Refused(413, "too_long", `a command line of at most ${WORD_BYTES} bytes`);
  const late = new Refused(504, "timeout", `not done after ${timeout_s} s`);
  const lost = crypto.randomUUID();
  const ran = await within(
    timeout_s + SLACK_S,
    ready(sandboxes, id).exec(`test -d ${MARK} || { echo ${lost}; exit 1; }; ${line}`, { env, cwd: "/", timeout: timeout_s * 1000 }),
    late,
  );
  if (ran.exitCode === 1 && ran.stdout.trimEnd() === lost) throw GONE;
  if (ran.exitCode === 124 && ran.stderr.trimEnd().endsWith(`timed out after ${timeout_s * 1000}ms`)) throw late;
  return { exit_code: ran.exitCode, stdout: ran.stdout, stderr: ran.stderr };
}

/** Starts the container. "running": it was there before and is the same. */
export async function open(sandboxes: Sandboxes, id: string, lease_s: number): Promise<"started" | "running"> {
  const sandbox = getSandbox(sandboxes, id, { enableDefaultSession: false, sleepAfter: lease_s + 60 });
  const late = new Refused(503, "capacity", `the platform gave no container within ${OPEN_S} s`, 30);
  const ran = await within(OPEN_S, sandbox.exec(`mkdir -p /run && mkdir ${MARK} 2>/dev/null && echo started || test -d ${MARK}`, { cwd: "/" }), late);
  if (ran.exitCode !== 0) throw new Refused(502, "sandbox", "the sandbox cannot keep files", 5);
  return ran.stdout.trim() === "started" ? "started" : "running";
}

export async function exec(sandboxes: Sandboxes, id: string, command: Command): Promise<Ran> {
  const words = command.argv.map(quoted).join(" ");
  const line = command.cwd === undefined ? `exec -- ${words}` : `cd -- ${quoted(command.cwd)} && exec -- ${words}`;
  return shell(sandboxes, id, line, command.timeout_s, command.env);
}

/** Puts `body` at `offset` and cuts the file there before, so that sending twice is sending once. Answers the new size. */
export async function write(sandboxes: Sandboxes, id: string, path: string, offset: number, body: Uint8Array): Promise<number> {
  const part = `${PARTS}/${crypto.randomUUID()}`;
  const file = quoted(path);
  const begin = offset === 0 ? `mkdir -p -- "$(dirname -- ${file})" && : >>${file}` : `test -f ${file}`;
  const made = await shell(sandboxes, id, `umask 077; mkdir -p ${PARTS}; umask 022; ${begin} && stat -Lc %s -- ${file}`, 20);
  const size = made.exit_code === 0 ? Number(made.stdout) : -1;
  if (size < 0 && offset === 0) throw new Refused(409, "not_written", made.stderr.trim().slice(0, 300));
  if (size < offset) throw new Refused(409, "gap", `the file ends at ${Math.max(size, 0)}`);
  if (body.length > 0) await within(60, ready(sandboxes, id).writeFile(part, body.toBase64(), { encoding: "base64" }), new Refused(504, "timeout", "not written after 60 s"));
  const join = body.length > 0 ? ` && cat ${part} >>${file} && rm -f ${part}` : "";
  const ran = await shell(sandboxes, id, `truncate -s ${offset} -- ${file}${join} && stat -Lc %s -- ${file}`, 30);
  if (ran.exit_code !== 0) throw new Refused(409, "not_written", ran.stderr.trim().slice(0, 300));
  return Number(ran.stdout);
}

export async function read(sandboxes: Sandboxes, id: string, path: string, offset: number, most: number): Promise<{ body: Uint8Array<ArrayBuffer>; size: number }> {
  const file = quoted(path);
  const piece = most > 0 ? ` && tail -c +${offset + 1} -- ${file} | head -c ${most} | base64 -w 0` : "";
  const ran = await shell(sandboxes, id, `test -f ${file} && stat -Lc %s -- ${file}${piece}`, 60);
  if (ran.exit_code !== 0) throw new Refused(404, "no_file", "no such file");
  const [size = "", text = ""] = ran.stdout.split("\n");
  return { body: Uint8Array.fromBase64(text), size: Number(size) };
}

/** A terminal that runs `argv`, one for all who look at it under this name. The SDK's terminal takes a program without arguments, so it gets one. */
export async function terminal(sandboxes: Sandboxes, id: string, key: string, argv: string[], request: Request, cols: number, rows: number): Promise<Response> {
  const program = `/run/chomp.terminals/${key}`;
  const text = `#!/bin/sh\nexec ${argv.map(quoted).join(" ")}\n`;
  const ran = await shell(sandboxes, id, `mkdir -p /run/chomp.terminals && printf %s ${quoted(text)} >${program} && chmod 755 ${program}`, 20);
  if (ran.exit_code !== 0) throw new Refused(502, "sandbox", "no terminal", 5);
  const sandbox = ready(sandboxes, id);
  try {
    const late = new Refused(504, "timeout", "no terminal after 20 s");
    const session = await sandbox.createSession({ id: key, cwd: "/" }).catch((error: unknown) => {
      if (/already exists/i.test(String(error))) return sandbox.getSession(key);
      throw error;
    });
    return await within(20, session.terminal(request, { cols, rows, shell: program }), late);
  } catch (error) {
    throw failure(error);
  }
}

export async function destroy(sandboxes: Sandboxes, id: string): Promise<void> {
  await within(60, ready(sandboxes, id).destroy(), new Refused(504, "timeout", "not destroyed after 60 s"));
}
