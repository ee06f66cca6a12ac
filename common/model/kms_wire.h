/* kms_wire: the messages on a key service's socket (docs/protocol/kms.md): frames, their bounds, the grant message.
 * Used by the key service, by the plane, which composes messages, and by tests. Frames: u32be size of what follows, u8
 * type, payload; the size is judged before a byte of the payload is kept. */
#ifndef RD_MODEL_KMS_WIRE_H
#define RD_MODEL_KMS_WIRE_H

#include "common/base/bytes.h"
#include "common/base/err.h"

typedef enum rd_kms_type {
    RD_KMS_NONCE = 1,
    RD_KMS_EVIDENCE,
    RD_KMS_SEAL_KEY,
    RD_KMS_COLLATERAL,
    RD_KMS_GRANT,
    RD_KMS_JOIN_NONCE, /* of a replica that waits: empty; a nonce for the one that admits */
    RD_KMS_ADMIT,      /* that nonce; a nonce and evidence of purpose admit */
    RD_KMS_JOIN,       /* rd_kms_join_message; evidence of purpose join */
    RD_KMS_ROOT,       /* that evidence; the root, sealed and signed */
    RD_KMS_JOINED,     /* the root; once it is durable the records of what was refused before, or nothing */
    RD_KMS_RECOVER,    /* of a replica that waits: nonce, 32 ‖ genesis; evidence of purpose join */
    RD_KMS_GENESIS,    /* empty; the genesis */
    RD_KMS_SHARE,      /* of a replica that waits: a share sealed to that evidence's key; u8 given, u8 needed, and
                          records with the last one that was needed */
    RD_KMS_TYPE_END,
    RD_KMS_ANSWER = 0x80, /* of a type: added to it */
    RD_KMS_REFUSAL = 0xff,
} rd_kms_type;

#define RD_KMS_FRAME_HEAD  5
#define RD_KMS_NONCES_MAX  64
#define RD_KMS_GRANT_MAX   ((size_t)864 << 10)
#define RD_KMS_ROOT_MAX    ((size_t)512 << 10) /* a root that goes over, with what its replica remembers */
#define RD_KMS_JOIN_MAX    ((size_t)160 << 10)
#define RD_KMS_SECRETS_MAX ((size_t)540 << 10) /* a set with names and sizes */
#define RD_KMS_RECORDS_MAX ((size_t)80 << 10)  /* certificate and records, each u16be size ‖ envelope */

/* Most bytes of a request's payload; 0: no request has this type. */
size_t rd_kms_request_max(uint8_t type);
/* Most bytes of an answer's payload. */
size_t rd_kms_answer_max(uint8_t type);

/* Appends a whole frame. TOO_LARGE past out's cap. */
int rd_kms_frame(uint8_t type, rd_bytes payload, rd_buf *out, rd_err *err) RD_NODISCARD;

/* The five bytes before a payload. */
typedef struct rd_kms_head {
    uint8_t type;
    size_t size; /* of the payload */
} rd_kms_head;
/* For the key service: KMS_FRAME for a type that is no request, and for a size beyond the type's. */
int rd_kms_head_request(const uint8_t bytes[RD_KMS_FRAME_HEAD], rd_kms_head *ret, rd_err *err) RD_NODISCARD;
/* For whoever asked a request of this type: its answer or a refusal, else KMS_FRAME. */
int rd_kms_head_answer(const uint8_t bytes[RD_KMS_FRAME_HEAD], uint8_t asked, rd_kms_head *ret,
                       rd_err *err) RD_NODISCARD;

/* What a grant is asked with; everything is borrowed. */
typedef struct rd_kms_grant_message {
    rd_bytes evidence; /* bundle, purpose grant */
    rd_bytes genesis;  /* of the app */
    rd_bytes head, release;
    rd_bytes ticket;
    rd_bytes secrets; /* rd_secret_set */
    rd_bytes newest;  /* the app's newest head, where head is not it; or empty */
    rd_bytes webhook; /* the owner's answer, RD_WEBHOOK_ANSWER_SIZE; or none */
} rd_kms_grant_message;

/* Each u32be size ‖ bytes, in this order; the answer is left out, with its size, where there is none. */
int rd_kms_grant_message_encode(const rd_kms_grant_message *message, rd_buf *out, rd_err *err) RD_NODISCARD;
int rd_kms_grant_message_parse(rd_bytes bytes, rd_kms_grant_message *ret, rd_err *err) RD_NODISCARD;

/* What a replica is shown that wants the root: u32be size ‖ genesis, nonce, 32, evidence of purpose admit over the
 * replica's own nonce. Borrowed. */
typedef struct rd_kms_join_message {
    rd_bytes genesis;
    rd_bytes nonce; /* 32: of whoever admits */
    rd_bytes evidence;
} rd_kms_join_message;
int rd_kms_join_message_encode(const rd_kms_join_message *message, rd_buf *out, rd_err *err) RD_NODISCARD;
int rd_kms_join_message_parse(rd_bytes bytes, rd_kms_join_message *ret, rd_err *err) RD_NODISCARD;

/* A refusal: u16be size ‖ code, u16be size ‖ detail, and for a grant the record's envelope. */
typedef struct rd_kms_refusal {
    rd_bytes code, detail, record;
} rd_kms_refusal;
int rd_kms_refusal_encode(const rd_kms_refusal *refusal, rd_buf *out, rd_err *err) RD_NODISCARD;
int rd_kms_refusal_parse(rd_bytes bytes, rd_kms_refusal *ret, rd_err *err) RD_NODISCARD;

#endif
