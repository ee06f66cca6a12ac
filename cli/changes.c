#include "cli/changes.h"

#include "cli/diff.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(json_t *list, const char *member, json_t *from, json_t *to)
{
    if (json_equal(from, to)) {
        json_decref(from);
        json_decref(to);
        return;
    }
    (void)json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "member", member, "from", from, "to", to));
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static void compare_module(json_t *list, const char *name, const char *before, const char *after)
{
    if (before && after && strcmp(before, after) == 0)
        return;
    cli_diff diff;
    cli_diff_make(before ? before : "", after ? after : "", &diff);
    (void)json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I}", "member", "code", "module", name, "added",
                                                (json_int_t)diff.added, "removed", (json_int_t)diff.removed));
    cli_diff_done(&diff);
}

static void compare_code(json_t *list, const rd_code_bundle *before, const rd_code_bundle *after)
{
    for (size_t i = 0; i < after->modules_count; i++) {
        const rd_module *old = rd_code_bundle_find(before, after->modules[i].name);
        compare_module(list, after->modules[i].name, old ? old->source : NULL, after->modules[i].source);
    }
    for (size_t i = 0; i < before->modules_count; i++)
        if (!rd_code_bundle_find(after, before->modules[i].name))
            compare_module(list, before->modules[i].name, before->modules[i].source, NULL);
    add(list, "main", text_or_null(before->main), text_or_null(after->main));
}

static const char *env_value(const rd_release *release, const char *name)
{
    for (size_t i = 0; i < release->env_count; i++)
        if (strcmp(release->env[i].name, name) == 0)
            return release->env[i].value;
    return NULL;
}

static void compare_env(json_t *list, const rd_release *before, const rd_release *after)
{
    for (size_t i = 0; i < after->env_count; i++) {
        RD_CLEANUP(rd_free_p) char *member = rd_asprintf("env.%s", after->env[i].name);
        add(list, member, text_or_null(env_value(before, after->env[i].name)), json_string(after->env[i].value));
    }
    for (size_t i = 0; i < before->env_count; i++) {
        if (env_value(after, before->env[i].name))
            continue;
        RD_CLEANUP(rd_free_p) char *member = rd_asprintf("env.%s", before->env[i].name);
        add(list, member, json_string(before->env[i].value), json_null());
    }
}

/* Member by member of the policy's document. */
static void compare_policy(json_t *list, const rd_policy *before, const rd_policy *after)
{
    json_t *from = rd_policy_to_json(before);
    json_t *to = rd_policy_to_json(after);
    const char *name;
    json_t *value;
    json_object_foreach(to, name, value)
    {
        const json_t *old = json_object_get(from, name);
        RD_CLEANUP(rd_free_p) char *member = rd_asprintf("policy.%s", name);
        add(list, member, old ? json_incref((json_t *)old) : json_null(), json_incref(value));
    }
    json_object_foreach(from, name, value)
    {
        RD_CLEANUP(rd_free_p) char *member = rd_asprintf("policy.%s", name);
        if (!json_object_get(to, name))
            add(list, member, json_incref(value), json_null());
    }
    json_decref(from);
    json_decref(to);
}

static json_t *kms_of(const cli_changed *version)
{
    return version->kms ? rd_json_new_kms_id(version->kms) : json_null();
}

/* A first head's policy has nothing to be compared with: what it loosens is said beside the rows (terms.h). Its webhook
 * loosens nothing, and is the owner's to see all the same: it says who is asked, and by whose word keys are given. */
static void add_first_webhook(json_t *list, const rd_webhook *webhook)
{
    add(list, "policy.webhook", json_null(), webhook->is_set ? rd_webhook_to_json(webhook) : json_null());
}

static void compare_terms(json_t *list, const cli_changed *before, const cli_changed *after)
{
    const cli_terms none = { .grant_s = 0 };
    const cli_terms *from = before->terms ? before->terms : &none;
    if (!after->terms)
        return;
    if (before->terms)
        compare_policy(list, &from->policy, &after->terms->policy);
    else
        add_first_webhook(list, &after->terms->policy.webhook);
    add(list, "kms", kms_of(before), kms_of(after));
    add(list, "limits.grant_s", number(from->grant_s), number(after->terms->grant_s));
    add(list, "limits.grant_requests", number(from->grant_requests), number(after->terms->grant_requests));
}

static json_t *logs_of(const rd_release *release)
{
    char key[44];
    if (release->logs != RD_LOGS_SEALED)
        return json_string(release->logs == RD_LOGS_CLEAR ? "clear" : "unsaid");
    rd_base64url_encode(RD_BYTES_ARRAY(release->log_key), key);
    return json_sprintf("sealed to %s", key);
}

static void compare_release(json_t *list, const rd_release *before, const rd_release *after)
{
    const rd_release_limits *a = &before->limits;
    const rd_release_limits *b = &after->limits;
    add(list, "engine", json_string(rd_engine_names[before->engine]), json_string(rd_engine_names[after->engine]));
    add(list, "machine", json_string(rd_machine_names[before->machine]), json_string(rd_machine_names[after->machine]));
    add(list, "open", json_boolean(before->is_open), json_boolean(after->is_open));
    add(list, "plain", json_boolean(before->is_plain), json_boolean(after->is_plain));
    compare_env(list, before, after);
    add(list, "egress", rd_egress_to_json(&before->egress), rd_egress_to_json(&after->egress));
    add(list, "logs", logs_of(before), logs_of(after));
    add(list, "limits.request_bytes", number(a->request_bytes), number(b->request_bytes));
    add(list, "limits.response_bytes", number(a->response_bytes), number(b->response_bytes));
    add(list, "limits.time_ms", number(a->time_ms), number(b->time_ms));
    add(list, "limits.heap_bytes", number(a->heap_bytes), number(b->heap_bytes));
    add(list, "resources.cpu_m", number(before->resources.cpu_m), number(after->resources.cpu_m));
    add(list, "resources.memory_bytes", number(before->resources.memory_bytes), number(after->resources.memory_bytes));
}

json_t *cli_changes_list(const cli_changed *before, const cli_changed *after)
{
    json_t *list = json_array();
    compare_code(list, before->code, after->code);
    compare_release(list, before->release, after->release);
    add(list, "public_code", json_boolean(!before->is_sealed), json_boolean(!after->is_sealed));
    if (before->instances_max && after->instances_max) {
        add(list, "instances.min", number(before->instances_min), number(after->instances_min));
        add(list, "instances.max", number(before->instances_max), number(after->instances_max));
        add(list, "instances.idle_s", number(before->idle_s), number(after->idle_s));
    }
    compare_terms(list, before, after);
    return list;
}

void cli_nothing_init(cli_nothing *nothing)
{
    *nothing = (cli_nothing){ .code = { .main = NULL } };
    rd_release_init(&nothing->release);
}

void cli_nothing_done(cli_nothing *nothing)
{
    rd_release_done(&nothing->release);
    rd_code_bundle_done(&nothing->code);
}

/* Whole, and nothing in it that a terminal obeys or that looks like something else: what is not ASCII is escaped. */
static char *shown(const json_t *value)
{
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
}

static bool holds(const json_t *list, const json_t *item)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), item))
            return true;
    return false;
}

/* The items of one list that the other lacks; how many. */
static size_t note_items(const cli_out *out, const char **title, const char *member, char mark, const json_t *list,
                         const json_t *other)
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (holds(other, json_array_get(list, i)))
            continue;
        RD_CLEANUP(rd_free_p) char *item = shown(json_array_get(list, i));
        cli_note(out, "  %-12s  %s %c %s", *title, member, mark, item ? item : "?");
        *title = "";
        count++;
    }
    return count;
}

static void note_value(const cli_out *out, const char *title, const char *member, const json_t *from, const json_t *to)
{
    bool is_list = (json_is_array(from) || json_is_null(from)) && (json_is_array(to) || json_is_null(to));
    if (is_list && note_items(out, &title, member, '-', from, to) + note_items(out, &title, member, '+', to, from) > 0)
        return;
    RD_CLEANUP(rd_free_p) char *old = shown(from);
    RD_CLEANUP(rd_free_p) char *new = shown(to);
    cli_note(out, "  %-12s  %s  %s -> %s", title, member, old ? old : "?", new ? new : "?");
}

static void note_row(const cli_out *out, const char *title, const json_t *row)
{
    const char *member = cli_text(row, "member");
    const char *module = cli_text(row, "module");
    if (module) {
        cli_note(out, "  %-12s  code %s  +%lld -%lld lines", title, module,
                 (long long)json_integer_value(json_object_get(row, "added")),
                 (long long)json_integer_value(json_object_get(row, "removed")));
        return;
    }
    note_value(out, title, member, json_object_get(row, "from"), json_object_get(row, "to"));
}

void cli_changes_note(const cli_out *out, const json_t *changes)
{
    size_t i;
    json_t *row;
    if (json_array_size(changes) == 0)
        cli_note(out, "  %-12s  none: code, settings and counts are as before", "changes");
    json_array_foreach(changes, i, row) note_row(out, i == 0 ? "changes" : "", row);
}

static void note_module(const cli_out *out, const char *name, bool is_main, const char *before, const char *after)
{
    cli_diff diff;
    cli_diff_make(before ? before : "", after ? after : "", &diff);
    cli_note(out, "--- %s%s   +%zu -%zu lines", name, is_main ? " (main)" : "", diff.added, diff.removed);
    cli_diff_print(out, &diff);
    cli_diff_done(&diff);
}

void cli_changes_note_code(const cli_out *out, const rd_code_bundle *before, const rd_code_bundle *after)
{
    for (size_t i = 0; i < after->modules_count; i++) {
        const rd_module *module = &after->modules[i];
        const rd_module *old = before ? rd_code_bundle_find(before, module->name) : NULL;
        note_module(out, module->name, strcmp(module->name, after->main) == 0, old ? old->source : NULL,
                    module->source);
    }
    for (size_t i = 0; before && i < before->modules_count; i++)
        if (!rd_code_bundle_find(after, before->modules[i].name))
            note_module(out, before->modules[i].name, false, before->modules[i].source, NULL);
}
