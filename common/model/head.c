#include "common/model/head.h"

#include "common/base/mem.h"
#include "common/model/canonical.h"
#include "common/model/delegation.h"

#include <inttypes.h>
#include <string.h>

#define TYPE "redoubt/head/v1"

static int read_release(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    rd_head *head = context;
    rd_digest release;
    if (rd_json_digest(item, pointer, &release, err) < 0)
        return -1;
    if (rd_head_lists(head, &release)) {
        (void)rd_err_set(err, RD_E_JSON_RANGE, "a release stands twice");
        return rd_err_at(err, pointer);
    }
    head->releases[index] = release;
    head->releases_count = index + 1;
    return 0;
}

static int read_releases(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, RD_HEAD_RELEASES_MAX, pointer, read_release, into, err);
}

static int read_policy(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_policy_read(value, pointer, into, err);
}

static int read_kms_id(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    rd_head *head = context;
    head->kms_count = index + 1;
    return rd_json_kms_id(item, pointer, &head->kms[index], err);
}

static int read_kms(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    if (json_is_array(value) && json_array_size(value) > RD_HEAD_KMS_MAX) {
        (void)rd_err_set(err, RD_E_UNSUPPORTED, "one KMS at most");
        return rd_err_at(err, pointer);
    }
    return rd_json_each(value, 0, RD_HEAD_KMS_MAX, pointer, read_kms_id, into, err);
}

static void no_secrets_root(rd_digest *ret)
{
    rd_h(RD_HASH_SECRETS, NULL, 0, ret->b);
}

static const rd_json_field limits_fields[] = {
    { "grant_requests", RD_JSON_U64, offsetof(rd_head, grant_requests), RD_OPTIONAL, .min = RD_HEAD_GRANT_REQUESTS_MIN,
      .max = RD_HEAD_GRANT_REQUESTS_MAX },
    { "grant_s", RD_JSON_U32, offsetof(rd_head, grant_s), RD_OPTIONAL, .min = RD_HEAD_GRANT_S_MIN,
      .max = RD_HEAD_GRANT_S_MAX },
    RD_JSON_END,
};

static const rd_json_field secrets_fields[] = {
    { "count", RD_JSON_U32, offsetof(rd_head, secrets_count), RD_REQUIRED, .max = RD_HEAD_SECRETS_MAX },
    { "root", RD_JSON_DIGEST, offsetof(rd_head, secrets_root), RD_REQUIRED },
    RD_JSON_END,
};

static const rd_json_field head_fields[] = {
    { "app", RD_JSON_APP_ID, offsetof(rd_head, app), RD_REQUIRED },
    { "class", RD_JSON_ENUM, offsetof(rd_head, class), RD_REQUIRED, .names = rd_class_names },
    { "expires", RD_JSON_TIME, offsetof(rd_head, expires_us), RD_NULLABLE, .has = RD_HAS(rd_head, has_expires) },
    { "kms", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_kms },
    { "limits", RD_JSON_OBJECT, 0, RD_REQUIRED, .fields = limits_fields },
    { "not_before", RD_JSON_TIME, offsetof(rd_head, not_before_us), RD_REQUIRED },
    { "policy", RD_JSON_CUSTOM, offsetof(rd_head, policy), RD_REQUIRED, .parse = read_policy },
    { "prev", RD_JSON_DIGEST, offsetof(rd_head, prev), RD_NULLABLE, .has = RD_HAS(rd_head, has_prev) },
    { "releases", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_releases },
    { "secrets", RD_JSON_OBJECT, 0, RD_REQUIRED, .fields = secrets_fields },
    { "seq", RD_JSON_U64, offsetof(rd_head, seq), RD_REQUIRED, .min = 1 },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = TYPE },
    RD_JSON_END,
};

static int refuse_at(rd_err *err, const char *pointer, rd_code code, const char *sentence)
{
    (void)rd_err_set(err, code, "head: %s", sentence);
    return rd_err_at(err, pointer);
}

/* Secrets, terms and webhooks are a KMS's: a head without one has none. */
static int check_secrets(const rd_head *head, rd_err *err)
{
    rd_digest none;
    no_secrets_root(&none);
    if (head->secrets_count == 0 && !rd_digest_equal(&head->secrets_root, &none))
        return refuse_at(err, "/secrets/root", RD_E_JSON_RANGE, "not the root of an empty set");
    if (head->kms_count == 0 && head->secrets_count > 0)
        return refuse_at(err, "/secrets/count", RD_E_JSON_RANGE, "secrets need a KMS");
    if (head->kms_count == 0 && head->grant_s > 0)
        return refuse_at(err, "/limits/grant_s", RD_E_JSON_RANGE, "grants need a KMS");
    if (head->kms_count == 0 && head->grant_requests > 0)
        return refuse_at(err, "/limits/grant_requests", RD_E_JSON_RANGE, "grants need a KMS");
    if (head->kms_count == 0 && head->policy.webhook.is_set)
        return refuse_at(err, "/policy/webhook", RD_E_JSON_RANGE,
                         "a webhook is asked before grants, and they need a KMS");
    return 0;
}

int rd_head_parse(rd_bytes canonical, rd_head *ret, rd_err *err)
{
    rd_head head = { 0 };
    if (rd_document_load(canonical, TYPE, head_fields, &head, err) < 0)
        return rd_err_wrap(err, "head");
    if (head.has_prev != (head.seq > 1))
        return refuse_at(err, "/prev", RD_E_HEAD_CHAIN, "number 1 has no prev, every later one has");
    if (head.policy.is_simulated != (head.class == RD_CLASS_SIMULATED))
        return refuse_at(err, "/policy/simulated", RD_E_CLASS_MISMATCH, "policy and class disagree on simulated");
    if (head.has_expires && head.expires_us <= head.not_before_us)
        return refuse_at(err, "/expires", RD_E_JSON_RANGE, "expires is not after not_before");
    if (check_secrets(&head, err) < 0)
        return -1;
    *ret = head;
    return 0;
}

static json_t *secrets_to_json(const rd_head *head)
{
    json_t *secrets = json_object();
    rd_digest root = head->secrets_root;
    if (head->secrets_count == 0)
        no_secrets_root(&root);
    rd_json_set_int(secrets, "count", head->secrets_count);
    rd_json_set_digest(secrets, "root", &root);
    return secrets;
}

static json_t *kms_to_json(const rd_head *head)
{
    json_t *kms = json_array();
    for (size_t i = 0; i < head->kms_count; i++)
        (void)json_array_append_new(kms, rd_json_new_kms_id(&head->kms[i]));
    return kms;
}

static json_t *limits_to_json(const rd_head *head)
{
    json_t *limits = json_object();
    if (head->grant_requests > 0)
        rd_json_set_int(limits, "grant_requests", (int64_t)head->grant_requests);
    if (head->grant_s > 0)
        rd_json_set_int(limits, "grant_s", head->grant_s);
    return limits;
}

int rd_head_encode(const rd_head *head, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *document = json_object();
    json_t *releases = json_array();
    for (size_t i = 0; i < head->releases_count; i++)
        (void)json_array_append_new(releases, rd_json_new_digest(&head->releases[i]));
    rd_json_set_str(document, "type", TYPE);
    rd_json_set_app_id(document, "app", &head->app);
    rd_json_set_int(document, "seq", (int64_t)head->seq);
    rd_json_set_digest(document, "prev", head->has_prev ? &head->prev : NULL);
    rd_json_set_str(document, "class", rd_class_name(head->class));
    rd_json_set(document, "releases", releases);
    rd_json_set(document, "policy", rd_policy_to_json(&head->policy));
    rd_json_set(document, "secrets", secrets_to_json(head));
    rd_json_set(document, "kms", kms_to_json(head));
    rd_json_set(document, "limits", limits_to_json(head));
    rd_json_set_time(document, "not_before", head->not_before_us);
    if (head->has_expires)
        rd_json_set_time(document, "expires", head->expires_us);
    else
        rd_json_set_null(document, "expires");
    return rd_canonical_write(document, out, err);
}

void rd_head_digest(rd_bytes canonical, rd_digest *ret)
{
    RD_H(ret->b, RD_HASH_HEAD, canonical);
}

uint32_t rd_head_grant_s(const rd_head *head)
{
    return head->grant_s > 0 ? head->grant_s : RD_HEAD_GRANT_S_DEFAULT;
}

uint64_t rd_head_grant_requests(const rd_head *head, bool has_protected_clock)
{
    if (head->grant_requests > 0 || has_protected_clock)
        return head->grant_requests;
    return RD_HEAD_GRANT_REQUESTS_DEFAULT;
}

int64_t rd_head_grant_end_us(const rd_head *head, int64_t now_us)
{
    int64_t end_us = now_us + (int64_t)rd_head_grant_s(head) * 1000000;
    return head->has_expires ? RD_MIN(end_us, head->expires_us) : end_us;
}

bool rd_head_lists(const rd_head *head, const rd_digest *release)
{
    for (size_t i = 0; i < head->releases_count; i++)
        if (rd_digest_equal(&head->releases[i], release))
            return true;
    return false;
}

static int check_chain(const rd_head *head, const rd_digest *digest, const rd_head_check *check, rd_err *err)
{
    const rd_head_known *known = check->known;
    uint64_t known_seq = known ? known->seq : 0;
    if (known && head->seq < known_seq)
        return rd_err_set(err, RD_E_HEAD_ROLLBACK, "head %" PRIu64 " is older than head %" PRIu64, head->seq,
                          known_seq);
    if (known && head->seq == known_seq) {
        if (rd_digest_equal(digest, &known->digest))
            return 0;
        return rd_err_set(err, RD_E_HEAD_FORK, "another head %" PRIu64 " is known", head->seq);
    }
    if (check->is_next_demanded && head->seq != known_seq + 1)
        return rd_err_set(err, RD_E_HEAD_CHAIN, "head %" PRIu64 " where %" PRIu64 " comes next", head->seq,
                          known_seq + 1);
    if (known && head->seq == known_seq + 1 && !rd_digest_equal(&head->prev, &known->digest))
        return refuse_at(err, "/prev", RD_E_HEAD_CHAIN, "prev is not the digest of the head before");
    if (known && head->owners_seq < known->owners_seq)
        return rd_err_set(err, RD_E_HEAD_ROLLBACK,
                          "built upon the owners' head %" PRIu64 "; they signed number %" PRIu64 " since",
                          head->owners_seq, known->owners_seq);
    return 0;
}

int rd_head_check_time(const rd_head *head, int64_t now_us, rd_err *err)
{
    if (now_us < head->not_before_us)
        return refuse_at(err, "/not_before", RD_E_HEAD_TIME, "not yet valid");
    if (head->has_expires && now_us >= head->expires_us)
        return refuse_at(err, "/expires", RD_E_HEAD_TIME, "expired");
    return 0;
}

rd_head_known rd_head_known_of(const rd_head *head, const rd_digest *digest)
{
    return (rd_head_known){ .seq = head->seq, .digest = *digest, .owners_seq = head->owners_seq };
}

/* --- under a delegation --- */

static int open_base(rd_bytes envelope_json, const rd_head_check *check, rd_head *ret, rd_err *err)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { .signatures_count = 0 };
    if (envelope_json.size == 0)
        return rd_err_set(err, RD_E_DELEGATION, "without a head of the owners to build upon");
    if (rd_envelope_parse(envelope_json, &envelope, err) < 0 ||
        rd_envelope_verify(&envelope, check->genesis, RD_SIGN_HEAD, err) < 0 ||
        rd_head_parse(rd_buf_bytes(&envelope.document), ret, err) < 0)
        return -1;
    if (!rd_app_id_equal(&ret->app, check->app))
        return rd_err_set(err, RD_E_GENESIS_MISMATCH, "of another app");
    return 0;
}

static bool equal_policies(const rd_policy *a, const rd_policy *b)
{
    rd_digest one, other;
    rd_err ignored = RD_ERR_INIT;
    return rd_policy_digest(a, &one, &ignored) == 0 && rd_policy_digest(b, &other, &ignored) == 0 &&
           rd_digest_equal(&one, &other);
}

static bool lists_all_of(const rd_head *base, const rd_head *head)
{
    for (size_t i = 0; i < head->releases_count; i++)
        if (!rd_head_lists(base, &head->releases[i]))
            return false;
    return true;
}

/* What the key may change, and until when. */
static int check_within(const rd_head *head, const rd_head *base, const rd_delegation *given, rd_err *err)
{
    if (head->class != given->class || base->class != head->class)
        return refuse_at(err, "/class", RD_E_DELEGATION, "delegated for the other class");
    if (!head->has_expires || head->expires_us > given->not_after_us)
        return refuse_at(err, "/expires", RD_E_DELEGATION, "ends later than the delegation");
    if (base->seq >= head->seq)
        return refuse_at(err, "/seq", RD_E_HEAD_ROLLBACK, "not newer than the owners' head that it is built upon");
    if (!equal_policies(&head->policy, &base->policy))
        return refuse_at(err, "/policy", RD_E_DELEGATION, "the policy is the owners' to change");
    if (head->kms_count != base->kms_count || (head->kms_count > 0 && !rd_kms_id_equal(&head->kms[0], &base->kms[0])))
        return refuse_at(err, "/kms", RD_E_DELEGATION, "the key service is the owners' to change");
    if (head->grant_s != base->grant_s || head->grant_requests != base->grant_requests)
        return refuse_at(err, "/limits", RD_E_DELEGATION, "limits are the owners' to change");
    if (!(given->may & RD_MAY_RELEASE) && !lists_all_of(base, head))
        return refuse_at(err, "/releases", RD_E_DELEGATION, "the key may not add releases");
    if (!(given->may & RD_MAY_SECRET) &&
        (head->secrets_count != base->secrets_count || !rd_digest_equal(&head->secrets_root, &base->secrets_root)))
        return refuse_at(err, "/secrets", RD_E_DELEGATION, "the key may not change secrets");
    return 0;
}

static int accept_delegated(const rd_envelope *envelope, const rd_head_check *check, rd_head *ret, rd_err *err)
{
    rd_delegation given;
    rd_head base;
    if (rd_delegation_verify(envelope, check->genesis, check->app, RD_MAY_HEAD, RD_SIGN_HEAD, &given, err) < 0)
        return rd_err_wrap(err, "head");
    if (rd_head_parse(rd_buf_bytes(&envelope->document), ret, err) < 0)
        return -1;
    if (open_base(rd_buf_bytes(&envelope->signatures[0].base), check, &base, err) < 0)
        return rd_err_wrap(err, "head, built upon");
    ret->owners_seq = base.seq;
    return check_within(ret, &base, &given, err);
}

static int accept_signed(const rd_envelope *envelope, const rd_head_check *check, rd_head *ret, rd_err *err)
{
    if (rd_envelope_is_delegated(envelope))
        return accept_delegated(envelope, check, ret, err);
    if (rd_envelope_verify(envelope, check->genesis, RD_SIGN_HEAD, err) < 0)
        return rd_err_wrap(err, "head");
    if (rd_head_parse(rd_buf_bytes(&envelope->document), ret, err) < 0)
        return -1;
    ret->owners_seq = ret->seq;
    return 0;
}

int rd_head_accept(const rd_envelope *envelope, const rd_head_check *check, rd_head *ret, rd_digest *ret_digest,
                   rd_err *err)
{
    rd_head head;
    if (accept_signed(envelope, check, &head, err) < 0)
        return -1;
    if (!rd_app_id_equal(&head.app, check->app))
        return refuse_at(err, "/app", RD_E_GENESIS_MISMATCH, "of another app");
    if (check->class && head.class != *check->class)
        return refuse_at(err, "/class", RD_E_CLASS_MISMATCH, "of the other class");
    rd_digest digest;
    rd_head_digest(rd_buf_bytes(&envelope->document), &digest);
    if (check_chain(&head, &digest, check, err) < 0)
        return -1;
    if (check->now_us && rd_head_check_time(&head, *check->now_us, err) < 0)
        return -1;
    *ret = head;
    if (ret_digest)
        *ret_digest = digest;
    return 0;
}
