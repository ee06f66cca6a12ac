/* guest_abi: the numbers that host and guest agree on, one header for both.
 * Used by the guest, and on the host's side by guest_link and engine.
 * Says nothing about trust: what the guest writes is checked where it is read. */
#ifndef ENCL_GUEST_ABI_H
#define ENCL_GUEST_ABI_H

#include <stdint.h>

enum encl_guest_state {
    ENCL_GUEST_WAITING = 0, /* no job left; due_us says when the next timer is, -1 never */
    ENCL_GUEST_DONE = 1,    /* a response is in out, or the background work is finished */
    ENCL_GUEST_FAILED = 2,  /* kind says why, out holds a sentence */
};

enum encl_guest_kind {
    ENCL_KIND_NONE = 0,
    ENCL_KIND_EXCEPTION = 1,
    ENCL_KIND_REJECTED = 2,
    ENCL_KIND_BAD_RESPONSE = 3,
    ENCL_KIND_TIME = 4,
    ENCL_KIND_MEMORY = 5,
    ENCL_KIND_OUTPUT = 6,
    ENCL_KIND_NO_HANDLER = 7,
    ENCL_KIND_ENTROPY = 8,
    ENCL_KIND_MODULE = 9,
    ENCL_KIND_REQUEST = 10,
};

enum { ENCL_CLOCK_WALL = 0, ENCL_CLOCK_MONOTONIC = 1 };

/* What the guest may ask of its host. The question and the payload of most answers are fields: a u32le size and that
 * many bytes each; a number is a field of four bytes. An answer begins with one byte, enum encl_ask_status; all but
 * ENCL_ASK_OK carry a sentence. The files of
 * enclave/engine/platform know these numbers too. */
enum encl_ask_op {
    ENCL_ASK_REPLY = 0, /* copies the last answer to the address */
    /* crypto.subtle: answered by the engine itself */
    ENCL_ASK_DIGEST = 1,   /* hash, data → bytes */
    ENCL_ASK_IMPORT = 2,   /* format, alg, hash, flags, parts… → a key (handle, type, bits) */
    ENCL_ASK_EXPORT = 3,   /* format, handle → bytes, or the parts of a JWK as fields */
    ENCL_ASK_GENERATE = 4, /* alg, hash, bits, flags, flags of the public half → one key, or public and private */
    ENCL_ASK_SIGN = 5,     /* alg, hash, handle, data → bytes */
    ENCL_ASK_VERIFY = 6,   /* alg, hash, handle, signature, data → one byte */
    ENCL_ASK_ENCRYPT = 7,  /* handle, iv, additional data, tag bits, data → bytes */
    ENCL_ASK_DECRYPT = 8,
    /* alg, handle, hash or 0, salt or the public key's handle, info, bits, alg, hash and flags of the key to make or 0
     * → bytes, or a key */
    ENCL_ASK_DERIVE = 9,
    /* an answer whose body is sent while it is made: answered by the engine itself */
    ENCL_ASK_OPEN = 10,  /* the response to come has such a body */
    ENCL_ASK_WRITE = 11, /* a piece of it; refused while there is no room */
    ENCL_ASK_ROOM = 12,  /* → one byte, enum encl_ask_room */
    ENCL_ASK_END = 13,   /* it is whole */
    ENCL_ASK_BREAK = 14, /* it never will be */
    /* from here on: encl_engine_host.ask (enclave/world) */
    ENCL_ASK_OF_HOST = 64,
    ENCL_ASK_NEXT = 64, /* → nothing, or id, enum encl_ask_news, and what that has */
    /* method, is http, host, port, target, count, name and value …, whether the body is sent in pieces, body → u32le id
     */
    ENCL_ASK_FETCH = 65,
    ENCL_ASK_CANCEL = 66,     /* id */
    ENCL_ASK_EVIDENCE = 67,   /* 32 bytes → evidence bundle */
    ENCL_ASK_DERIVE_APP = 68, /* path → 32 bytes */
    ENCL_ASK_SIGN_APP = 69,   /* scheme, data → signature */
    ENCL_ASK_PUBLIC_APP = 70, /* scheme → public key */
    ENCL_ASK_REFER = 71,      /* name of a secret → a text that stands for it in a header */
    ENCL_ASK_SECRET = 72,     /* name → value */
    ENCL_ASK_WANT = 73,       /* id: news of the next bytes of its answer's body, once */
    ENCL_ASK_READ = 74,       /* id → those bytes */
    ENCL_ASK_SEND = 75,       /* id, whether it is the last, a piece of its own body */
};

enum encl_ask_status {
    ENCL_ASK_OK = 0,
    ENCL_ASK_OPERATION = 1,     /* OperationError */
    ENCL_ASK_DATA = 2,          /* DataError */
    ENCL_ASK_ACCESS = 3,        /* InvalidAccessError */
    ENCL_ASK_NOT_SUPPORTED = 4, /* NotSupportedError */
    ENCL_ASK_SYNTAX = 5,        /* SyntaxError */
    ENCL_ASK_QUOTA = 6,         /* QuotaExceededError */
    ENCL_ASK_TYPE = 7,          /* TypeError */
    ENCL_ASK_ENTROPY = 8,       /* ENTROPY_BEFORE_SNAPSHOT */
};

enum encl_ask_room { ENCL_ROOM_NONE = 0, ENCL_ROOM_SOME = 1, ENCL_ROOM_GONE = 2 /* the caller left */ };

enum encl_ask_news {
    ENCL_NEWS_ANSWER = 0, /* status, count, name and value …, whether the body is whole, body */
    ENCL_NEWS_FAILED = 1, /* sentence; before or after the answer */
    ENCL_NEWS_PIECE = 2,  /* bytes of the body wait */
    ENCL_NEWS_END = 3,    /* of the body */
    ENCL_NEWS_ROOM = 4,   /* the request's body may go on */
};

enum encl_key_alg {
    ENCL_ALG_HMAC = 1,
    ENCL_ALG_HKDF = 2,
    ENCL_ALG_AES_GCM = 3,
    ENCL_ALG_ED25519 = 4,
    ENCL_ALG_ECDSA = 5, /* on P-256 */
    ENCL_ALG_X25519 = 6,
};

enum encl_key_hash { ENCL_HASH_SHA1 = 1, ENCL_HASH_SHA256 = 2, ENCL_HASH_SHA384 = 3, ENCL_HASH_SHA512 = 4 };

enum encl_key_format { ENCL_FORMAT_RAW = 0, ENCL_FORMAT_PKCS8 = 1, ENCL_FORMAT_SPKI = 2, ENCL_FORMAT_JWK = 3 };

enum encl_key_flags {
    ENCL_MAY_SIGN = 1,
    ENCL_MAY_VERIFY = 2,
    ENCL_MAY_ENCRYPT = 4,
    ENCL_MAY_DECRYPT = 8,
    ENCL_MAY_DERIVE_KEY = 16,
    ENCL_MAY_DERIVE_BITS = 32,
    ENCL_KEY_EXTRACTABLE = 64,
};

/* Read by the host at the address that rd_init returns; little-endian as WebAssembly is. */
typedef struct encl_guest_result {
    uint32_t state;
    uint32_t kind;
    uint32_t out;
    uint32_t out_size;
    int64_t due_us;
    uint32_t background; /* ctx.waitUntil promises that are still pending */
    uint32_t has_response;
} encl_guest_result;

_Static_assert(sizeof(encl_guest_result) == 32, "the guest writes 32 bytes");

#endif
