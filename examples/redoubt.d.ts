// What a function finds in Redoubt beside the web's own API (Request, Response, fetch, crypto, …: the editor's "lib": ["WebWorker", "ES2023"]).
// In a script: /// <reference path="../redoubt.d.ts" />

/** Texts of the manifest's `env`, and the app's secrets by name; a secret is read when it is used. One that an `egress` place lists is not here: `secret(name)`. */
interface RedoubtEnv {
  readonly [name: string]: string;
}

interface RedoubtContext {
  /** Keeps work going after the answer, within the call's time. */
  waitUntil(work: Promise<unknown>): void;
  passThroughOnException(): void;
}

type RedoubtFetch<Env = RedoubtEnv> = (request: Request, env: Env, context: RedoubtContext) => Response | Promise<Response>;

/** A WebSocket, for the time of one event. */
interface RedoubtSocket<State = any> {
  readonly id: string;
  readonly url: string;
  /** Subprotocols that the caller offered; in `open` alone. */
  readonly protocols: string[];
  /** The one that was chosen; `open` may set it. */
  protocol: string;
  /** All that is kept between events: JSON, at most 16 KiB. */
  state: State;
  /** Leaves when the handler is done. */
  send(data: string | ArrayBuffer | ArrayBufferView): void;
  close(code?: number, reason?: string): void;
}

/** Each event is a call of its own, in the pristine machine (or in the one that all requests share, where the release says so). */
interface RedoubtSocketHandler<Env = RedoubtEnv, State = any> {
  open?(socket: RedoubtSocket<State>, request: Request, env: Env, context: RedoubtContext): void | Promise<void>;
  message(socket: RedoubtSocket<State>, data: string | ArrayBuffer, env: Env, context: RedoubtContext): void | Promise<void>;
  close?(socket: RedoubtSocket<State>, code: number, reason: string, env: Env, context: RedoubtContext): void | Promise<void>;
}

/** The default export of the main module: this, or the function `fetch` alone. */
interface RedoubtHandler<Env = RedoubtEnv> {
  fetch: RedoubtFetch<Env>;
  websocket?: RedoubtSocketHandler<Env>;
}

/**
 * `ed25519`: 64 bytes over the data as it is; public key of 32 bytes.
 * `secp256k1`: r, s, v (65 bytes) over the data with Ethereum's prefix (EIP-191), as `ecrecover` takes it; public key of 64 bytes.
 */
type RedoubtScheme = "ed25519" | "secp256k1";

declare const redoubt: {
  /** Evidence of this enclave, of purpose `app`, with 32 bytes of yours in `user`: a bundle in JSON. At most four a call. */
  evidence(bytes: ArrayBuffer | ArrayBufferView): Promise<Uint8Array>;
  /** 32 bytes that are the same for this app and path wherever it runs. Throws `OperationError` (no_keys) without a grant. */
  deriveKey(path: string): Promise<Uint8Array>;
  /** Signs with a key of the app's, the same wherever it runs. */
  sign(data: string | ArrayBuffer | ArrayBufferView, options?: { scheme?: RedoubtScheme }): Promise<Uint8Array>;
  publicKey(options?: { scheme?: RedoubtScheme }): Promise<Uint8Array>;
};

/** A text that becomes the secret in a header of `fetch` to a place whose `egress` entry lists it; worth nothing anywhere else. */
declare function secret(name: string): string;

interface RequestInit {
  /** A body that is a stream is sent as it comes; without this it is gathered first, and sent with its length. */
  duplex?: "half";
}
