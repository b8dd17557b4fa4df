/** What a caller may send, and how a refusal looks. */

export const FILE_BYTES = 4 * 1024 * 1024;
export const JSON_BYTES = 1024 * 1024;
/** Linux takes no argument and no variable above 128 KiB (MAX_ARG_STRLEN), and a command line is one argument of bash. */
export const WORD_BYTES = 120 * 1024;

export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retry_after_s?: number,
  ) {
    super(message);
  }
}

export function refusal(error: unknown): Response {
  const refused = error instanceof Refused ? error : new Refused(500, "internal", "the Worker failed; its log says how");
  if (refused !== error) console.error(error);
  const headers: Record<string, string> = {};
  if (refused.retry_after_s !== undefined) headers["retry-after"] = String(refused.retry_after_s);
  return Response.json({ error: { code: refused.code, message: refused.message } }, { status: refused.status, headers });
}

function bad(message: string): Refused {
  return new Refused(400, "bad_request", message);
}

export function sandboxId(value: unknown): string {
  if (typeof value === "string" && /^[a-z0-9][a-z0-9-]{0,62}$/.test(value)) return value;
  throw bad("id: a-z, 0-9 and -, at most 63");
}

export function name(value: unknown, what: string): string {
  if (typeof value === "string" && /^[a-z0-9-]{1,40}$/.test(value)) return value;
  throw bad(`${what}: a-z, 0-9 and -, at most 40`);
}

export function path(value: unknown, what = "path"): string {
  if (typeof value !== "string" || !value.startsWith("/") || value.length > 1024) throw bad(`${what}: absolute, at most 1024 characters`);
  // A lone surrogate has no UTF-8 form: another name would arrive.
  if (/[\u0000-\u001f\u007f]/.test(value) || !value.isWellFormed()) throw bad(`${what}: no control characters`);
  if (value.split("/").includes("..")) throw bad(`${what}: no ..`);
  return value;
}

export function whole(value: unknown, what: string, least: number, most: number, otherwise?: number): number {
  if ((value === undefined || value === null) && otherwise !== undefined) return otherwise;
  const number = typeof value === "string" && /^\d{1,16}$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && Number.isSafeInteger(number) && number >= least && number <= most) return number;
  throw bad(`${what}: a whole number from ${least} to ${most}`);
}

function word(value: unknown, what: string): string {
  if (typeof value !== "string" || value.includes("\0") || !value.isWellFormed()) throw bad(`${what}: text without NUL`);
  return value;
}

export function argv(value: unknown): string[] {
  if (!Array.isArray(value) || value.length === 0) throw bad("argv: a list of words");
  const words = value.map((each) => word(each, "argv"));
  if (words[0] === "") throw bad("argv: its first word is what runs");
  return words;
}

export function environment(value: unknown): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw bad("env: names and values");
  const checked: Record<string, string> = {};
  for (const [key, text] of Object.entries(value)) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) throw bad("env: a name that is none");
    checked[key] = word(text, `env ${key}`);
    if (new TextEncoder().encode(checked[key]).length > WORD_BYTES) throw new Refused(413, "too_long", `env ${key} is above ${WORD_BYTES} bytes`);
  }
  return checked;
}

/** The body, never more of it in memory than `most`. */
export async function bytes(request: Request, most: number): Promise<Uint8Array<ArrayBuffer>> {
  const tooMuch = new Refused(413, "too_large", `a body of at most ${most} bytes`);
  if (Number(request.headers.get("content-length") ?? 0) > most) throw tooMuch;
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of request.body ?? []) {
    size += part.length;
    if (size > most) throw tooMuch;
    parts.push(part);
  }
  const body = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return body;
}

export async function json(request: Request): Promise<Record<string, unknown>> {
  let fields: unknown;
  try {
    fields = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(await bytes(request, JSON_BYTES)));
  } catch (error) {
    throw error instanceof Refused ? error : bad("the body is no JSON");
  }
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) throw bad("the body is no JSON object");
  return fields as Record<string, unknown>;
}

/** Compares in a time that tells nothing, whatever the lengths. */
export async function same(left: string, right: string): Promise<boolean> {
  const digest = (text: string) => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  const [one, other] = await Promise.all([digest(left), digest(right)]);
  return crypto.subtle.timingSafeEqual(one, other);
}

/** The key a sandbox shows when it calls its owner: good for this sandbox alone. */
export async function sandboxKey(token: string, id: string): Promise<string> {
  const encoder = new TextEncoder();
  const key = await crypto.subtle.importKey("raw", encoder.encode(token), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(`from:${id}`)));
  return [...mac.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
