/** HTTP through one WebSocket: requests of sandboxes to the chomp at its other end.
 *
 * A message is u32 stream, u8 kind, payload of at most 64 KiB. Neither side sends more of a stream than the other has granted
 * (256 KiB at its begin, more as its reader takes it), so nothing piles up. What names an unknown stream is late and ignored.
 */
import { Refused } from "./checks";

const OPEN = 1;
const DATA = 2;
const END = 3;
const ABORT = 4;
const CREDIT = 5;
const PAYLOAD_BYTES = 64 * 1024;
const WINDOW_BYTES = 256 * 1024;
const STREAMS = 200;

/** Of one connection only (RFC 9110, 7.6.1), or said by the platform and not by the sandbox. `accept-encoding` is what Cloudflare makes of it. */
const DROPPED = /^(host|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|accept-encoding|cf-.*|x-forwarded-.*|x-real-ip|cdn-loop|true-client-ip)$/;

type Header = [string, string];

export function passed(headers: Headers): Header[] {
  const named = new Set((headers.get("connection") ?? "").toLowerCase().split(",").map((each) => each.trim()));
  return [...headers].filter(([key]) => !DROPPED.test(key.toLowerCase()) && !named.has(key.toLowerCase()));
}

/** One request and its answer. */
class Stream {
  readonly head = Promise.withResolvers<Response>();
  #phase: "waiting" | "answering" | "over" = "waiting";
  #granted = WINDOW_BYTES; // what we may send
  #moreGranted = Promise.withResolvers<void>();
  #chunks: Uint8Array[] = []; // what came and was not taken yet
  #held = 0;
  #taking = Promise.withResolvers<void>();
  #broken: Error | undefined;
  #upload: ReadableStreamDefaultReader<Uint8Array> | undefined;

  constructor(
    readonly send: (kind: number, payload?: Uint8Array) => void,
    readonly over: () => void,
  ) {}

  async upload(body: ReadableStream<Uint8Array> | null): Promise<void> {
    this.#upload = body?.getReader();
    try {
      for (;;) {
        const { done, value } = (await this.#upload?.read()) ?? { done: true, value: undefined };
        if (this.#over) return;
        if (done) return this.send(END);
        for (let at = 0; at < value.length; ) {
          while (this.#granted === 0 && !this.#over) await this.#moreGranted.promise;
          if (this.#over) return;
          const piece = value.subarray(at, at + Math.min(PAYLOAD_BYTES, this.#granted));
          this.#granted -= piece.length;
          at += piece.length;
          this.send(DATA, piece);
        }
      }
    } catch {
      this.abort(new Error("the sandbox broke its request off")); // its reader fails when the client goes
    }
  }

  get #over(): boolean {
    return this.#phase === "over";
  }

  grant(more: number): void {
    this.#granted += more;
    this.#moreGranted.resolve();
    this.#moreGranted = Promise.withResolvers<void>();
  }

  answer(status: number, headers: Header[]): void {
    if (this.#phase !== "waiting") return this.abort(new Error("a second head"));
    this.#phase = "answering";
    if (!(status >= 200 && status <= 599)) throw new RangeError("no status"); // undefined would be taken for 200
    const kept = new Headers();
    for (const [key, value] of headers) if (!DROPPED.test(key.toLowerCase())) kept.append(key, value);
    // Cloudflare compresses what it may, and what compresses waits for more: events would come in lumps.
    if (kept.get("content-type")?.startsWith("text/event-stream")) kept.append("cache-control", "no-transform");
    const encodeBody = kept.has("content-encoding") ? "manual" : "automatic";
    const empty = [204, 205, 304].includes(status);
    const body = new ReadableStream<Uint8Array>({ pull: (to) => this.#pull(to), cancel: () => this.abort(new Error("the sandbox left")) }, { highWaterMark: 0 });
    this.head.resolve(new Response(empty ? null : body, { status, headers: kept, encodeBody }));
  }

  take(chunk: Uint8Array): void {
    if (this.#phase !== "answering") return;
    this.#held += chunk.length;
    if (this.#held > WINDOW_BYTES) return this.abort(new Error("more than was granted"));
    this.#chunks.push(chunk);
    this.#wake();
  }

  end(): void {
    if (this.#phase === "waiting") return this.abort(new Error("an end without a head"));
    this.#finish();
  }

  /** Breaks both ways: an answer that was cut must not look like one that ended. */
  abort(reason: Error, tell = true): void {
    if (this.#phase === "over") return;
    this.#broken = reason;
    this.head.reject(new Refused(502, "cut", reason.message));
    if (tell) this.send(ABORT);
    this.#finish();
  }

  #finish(): void {
    if (this.#phase === "over") return;
    this.#phase = "over";
    this.#moreGranted.resolve();
    void this.#upload?.cancel().catch(() => {}); // answered before its body was read: nobody wants the rest
    this.over();
    this.#wake();
  }

  async #pull(to: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    for (;;) {
      if (this.#broken) throw this.#broken;
      const chunk = this.#chunks.shift();
      if (chunk) {
        this.#held -= chunk.length;
        if (this.#phase !== "over") this.send(CREDIT, u32(chunk.length));
        return to.enqueue(chunk);
      }
      if (this.#phase === "over") return to.close();
      await this.#taking.promise;
    }
  }

  #wake(): void {
    this.#taking.resolve();
    this.#taking = Promise.withResolvers<void>();
  }
}

function u32(number: number): Uint8Array {
  const four = new Uint8Array(4);
  new DataView(four.buffer).setUint32(0, number);
  return four;
}

export class Tunnel {
  #streams = new Map<number, Stream>();
  // Not from 1: after a sleep of the Durable Object a late frame of an old stream must not hit a new one.
  #next = crypto.getRandomValues(new Uint32Array(1))[0] ?? 1;

  constructor(readonly socket: WebSocket) {}

  async open(request: Request, target: string): Promise<Response> {
    if (this.#streams.size >= STREAMS) throw new Refused(503, "busy", `${STREAMS} requests are under way`, 1);
    const head = new TextEncoder().encode(JSON.stringify({ method: request.method, path: target, headers: passed(request.headers) }));
    if (head.length > PAYLOAD_BYTES) throw new Refused(431, "headers_too_large", `path and headers of at most ${PAYLOAD_BYTES} bytes`);
    do this.#next = (this.#next + 1) >>> 0;
    while (this.#streams.has(this.#next));
    const id = this.#next;
    const stream = new Stream(
      (kind, payload) => this.#send(id, kind, payload),
      () => this.#streams.delete(id),
    );
    this.#streams.set(id, stream);
    this.#send(id, OPEN, head);
    request.signal.addEventListener("abort", () => stream.abort(new Error("the sandbox left")));
    void stream.upload(request.body);
    return stream.head.promise;
  }

  receive(message: ArrayBuffer | string): void {
    if (typeof message === "string" || message.byteLength < 5 || message.byteLength > 5 + PAYLOAD_BYTES) return this.close("a frame that is none");
    const view = new DataView(message);
    const stream = this.#streams.get(view.getUint32(0));
    if (!stream) return;
    const payload = new Uint8Array(message, 5);
    switch (view.getUint8(4)) {
      case OPEN: {
        try {
          const { status, headers } = JSON.parse(new TextDecoder().decode(payload)) as { status: number; headers: Header[] };
          return stream.answer(status, headers);
        } catch {
          return stream.abort(new Error("a head that is none")); // a status out of range, a header with a line break
        }
      }
      case DATA:
        return stream.take(payload);
      case END:
        return stream.end();
      case ABORT:
        return stream.abort(new Error("the answer was cut"), false);
      case CREDIT:
        return payload.length === 4 ? stream.grant(view.getUint32(5)) : this.close("a credit that is none");
      default:
        return this.close("a kind that is none");
    }
  }

  /** The socket is gone, or goes now. */
  close(reason: string, code = 4001): void {
    for (const stream of [...this.#streams.values()]) stream.abort(new Error("the tunnel fell"), false);
    try {
      this.socket.close(code, reason);
    } catch {
      // it is closed
    }
  }

  #send(id: number, kind: number, payload: Uint8Array = new Uint8Array()): void {
    const frame = new Uint8Array(5 + payload.length);
    new DataView(frame.buffer).setUint32(0, id);
    frame[4] = kind;
    frame.set(payload, 5);
    try {
      this.socket.send(frame);
    } catch {
      // it closes: its close event ends the streams
    }
  }
}
