/* delegation: what an app's owners let another key sign in their place, and until when, so that their own keys stay out
 * of daily work. Used by head and release, which ask for it, and by the CLI, which makes it.
 * A delegation travels with each signature that rests on it (envelope.h). It ends by its time alone: a head that rests
 * on it names an end no later (head.h), so that nobody needs to know when it was signed. A key that a page holds, which
 * the plane serves, signs for simulated apps alone. */
#ifndef RD_MODEL_DELEGATION_H
#define RD_MODEL_DELEGATION_H

#include "common/model/class.h"
#include "common/model/envelope.h"

/* What a key may do: sign releases, and put them into heads; sign heads; change the set of secrets of a head. */
enum { RD_MAY_RELEASE = 1, RD_MAY_HEAD = 2, RD_MAY_SECRET = 4, RD_MAY_ALL = 7 };

typedef enum rd_held_in { RD_HELD_IN_FILE, RD_HELD_IN_BROWSER, RD_HELD_IN_HSM } rd_held_in;

typedef struct rd_delegation {
    rd_app_id app;
    rd_public_key key;
    unsigned may; /* RD_MAY_…, at least one */
    rd_class class;
    rd_held_in held_in;
    int64_t not_after_us;
} rd_delegation;

/* "release", "head", "secret"; "file", "browser", "hsm": by the bit's number, by value; NULL-terminated. */
extern const char *const rd_may_names[];
extern const char *const rd_held_in_names[];

/* Codes beside those of canonical.h: DELEGATION for a browser's key of class hardware. */
int rd_delegation_parse(rd_bytes canonical, rd_delegation *ret, rd_err *err) RD_NODISCARD;
/* Appends the canonical form. */
int rd_delegation_encode(const rd_delegation *delegation, rd_buf *out, rd_err *err) RD_NODISCARD;

/* A delegation of this app, from its envelope: signed by the owners' threshold under delegation-v1. SIGNATURE, PURPOSE,
 * GENESIS_MISMATCH. */
int rd_delegation_accept(rd_bytes envelope_json, const rd_genesis *genesis, const rd_app_id *app, rd_delegation *ret,
                         rd_err *err) RD_NODISCARD;
/* SIGNATURE or DELEGATION unless the envelope has one signature under the label, by a key to which the delegation that
 * it carries gives all of may. Time and class are the asker's to judge. */
int rd_delegation_verify(const rd_envelope *envelope, const rd_genesis *genesis, const rd_app_id *app, unsigned may,
                         rd_sign_label label, rd_delegation *ret, rd_err *err) RD_NODISCARD;

#endif
