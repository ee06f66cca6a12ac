// link: agent_core
/* What an enclave says on its control stream, as the agent hears it: any bytes, with the callbacks that forget it in
 * the middle of a frame. First byte: how it is heard, and after how many callbacks it is forgotten. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/enclave_priv.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/loop.h"
#include "common/model/receipt_record.h"
#include "common/model/webhook.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static rd_loop *loop;
static int left; /* callbacks until it is forgotten */
static bool is_forgotten;
static size_t gone;

static void on_gone(agent_enclave *enclave RD_UNUSED)
{
    gone++;
}

static void on_kill(agent_enclave *enclave RD_UNUSED)
{
}

static void on_limit(agent_enclave *enclave RD_UNUSED, uint64_t memory_bytes RD_UNUSED, uint32_t cpu_m RD_UNUSED)
{
}

static const agent_launcher_ops ops = { .gone = on_gone, .kill = on_kill, .limit = on_limit };
static agent_launcher launcher = { .ops = &ops };

static void count(agent_enclave *enclave)
{
    if (is_forgotten)
        abort(); /* no callback comes any more */
    if (--left > 0)
        return;
    is_forgotten = true;
    agent_enclave_forget(enclave);
}

static void on_blank(void *context RD_UNUSED, agent_enclave *enclave, rd_bytes report RD_UNUSED)
{
    count(enclave);
}

static void on_phase(void *context RD_UNUSED, agent_enclave *enclave, const char *phase, const char *reason,
                     const char *detail)
{
    if (strlen(phase) > 16 || strlen(reason) > 64 || (detail && strlen(detail) > 4096))
        abort();
    count(enclave);
}

static void on_evidence(void *context RD_UNUSED, agent_enclave *enclave, rd_bytes bundle RD_UNUSED)
{
    count(enclave);
}

static void on_grant_wanted(void *context RD_UNUSED, agent_enclave *enclave, rd_bytes bundle, rd_bytes webhook)
{
    if ((bundle.data == NULL) != (bundle.size == 0) || (webhook.size > 0 && bundle.size == 0) ||
        (webhook.size != 0 && webhook.size != RD_WEBHOOK_ANSWER_SIZE))
        abort();
    count(enclave);
}

static void on_log(void *context RD_UNUSED, agent_enclave *enclave, const char *level, rd_bytes text)
{
    if (strlen(level) > 8 || text.size > 16384)
        abort();
    count(enclave);
}

static void on_receipts(void *context RD_UNUSED, agent_enclave *enclave, rd_bytes record)
{
    if (record.size == 0 || record.size > RD_RECEIPT_RECORD_SIZE_MAX)
        abort();
    count(enclave);
}

static void on_drained(void *context RD_UNUSED, agent_enclave *enclave)
{
    count(enclave);
}

static void on_ended(void *context RD_UNUSED, agent_enclave *enclave, const char *how RD_UNUSED)
{
    is_forgotten = true;
    agent_enclave_forget(enclave);
}

static void on_adopted(void *context RD_UNUSED, agent_enclave *enclave)
{
    count(enclave);
}

static const agent_enclave_events events = { .on_blank = on_blank,
                                             .on_phase = on_phase,
                                             .on_evidence = on_evidence,
                                             .on_grant_wanted = on_grant_wanted,
                                             .on_log = on_log,
                                             .on_receipts = on_receipts,
                                             .on_drained = on_drained,
                                             .on_ended = on_ended };

int LLVMFuzzerInitialize(int *argc RD_UNUSED, char ***argv RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    rd_log_init("fuzz", RD_ERROR, 2);
    if (rd_loop_new(&loop, &err) < 0)
        abort();
    launcher.loop = rd_loop_uv(loop);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t tag[AGENT_TAG_SIZE] = { 1 };
    int pair[2];
    rd_err err = RD_ERR_INIT;
    if (size == 0 || size > ((size_t)64 << 10) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0)
        return 0;
    agent_enclave *enclave = agent_enclave_new(&launcher, tag, &events, NULL);
    left = 1 + data[0] % 16;
    is_forgotten = false;
    gone = 0;
    enclave->state = data[0] & 0x10 ? AGENT_ENCLAVE_ATTESTING : AGENT_ENCLAVE_STARTING;
    enclave->adopted = data[0] & 0x20 ? on_adopted : NULL;
    enclave->cpu_m = 100;
    if (agent_enclave_attach(enclave, pair[0], &err) < 0)
        abort();
    for (size_t at = 1; at < size && !is_forgotten;) {
        ssize_t n = write(pair[1], data + at, RD_MIN(size - at, (size_t)(data[0] & 0x40 ? 7 : 8192)));
        if (n > 0)
            at += (size_t)n;
        rd_loop_turn(loop, false);
    }
    (void)close(pair[1]);
    for (int i = 0; i < 3; i++)
        rd_loop_turn(loop, false);
    if (!is_forgotten) /* the end of the stream ends an enclave without a process */
        abort();
    return 0;
}
