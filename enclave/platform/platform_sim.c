/* The simulated TEE: registers and quotes are asked of the agent's side over the quoter stream (enclave.md). */
#include "enclave/platform/platform.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"

#define SIM_WAIT_MS    10000
#define SIM_ANSWER_MAX (64u << 10)

enum {
    SIM_EXTEND = 1,
    SIM_QUOTE = 2,
    SIM_SEAL_KEY = 3,
    SIM_EXTENDED = 0x81,
    SIM_QUOTED = 0x82,
    SIM_SEAL_KEY_IS = 0x83,
    SIM_REFUSED = 0xff
};

typedef struct sim_platform {
    encl_platform base;
    int fd;
    bool has_begun; /* a quote over these data was asked for, and its answer not read */
    uint8_t begun[64];
} sim_platform;

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, int64_t until_ms, rd_err *err)
{
    for (;;) {
        int64_t left = until_ms - now_ms();
        struct pollfd one = { .fd = fd, .events = events };
        int ready = left <= 0 ? 0 : poll(&one, 1, (int)left);
        if (ready > 0)
            return 0;
        if (ready == 0)
            return rd_err_set(err, RD_E_TEE_UNAVAILABLE, "the quoter did not answer within %d ms", SIM_WAIT_MS);
        if (errno != EINTR)
            return rd_err_set_errno(err, RD_E_TEE_UNAVAILABLE, errno, "quoter stream");
    }
}

/* Moves all bytes in one direction; `out` and `in` exclude each other. */
static int transfer(int fd, const uint8_t *out, uint8_t *in, size_t size, int64_t until_ms, rd_err *err)
{
    size_t done = 0;
    while (done < size) {
        ssize_t moved = out != NULL ? send(fd, out + done, size - done, MSG_NOSIGNAL | MSG_DONTWAIT)
                                    : recv(fd, in + done, size - done, MSG_DONTWAIT);
        if (moved > 0) {
            done += (size_t)moved;
            continue;
        }
        if (moved == 0)
            return rd_err_set(err, RD_E_TEE_UNAVAILABLE, "the quoter closed its stream");
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return rd_err_set_errno(err, RD_E_TEE_UNAVAILABLE, errno, "quoter stream");
        if (wait_for(fd, out != NULL ? POLLOUT : POLLIN, until_ms, err) < 0)
            return -1;
    }
    return 0;
}

static int put_question(const sim_platform *sim, const rd_buf *question, rd_err *err)
{
    return transfer(sim->fd, question->data, NULL, question->size, now_ms() + SIM_WAIT_MS, err);
}

/* The payload of the wanted answer is appended to ret (may be NULL when it is empty). */
static int take_answer(const sim_platform *sim, uint8_t want, rd_buf *ret, rd_err *err)
{
    int64_t until = now_ms() + SIM_WAIT_MS;
    uint8_t head[5];
    if (transfer(sim->fd, NULL, head, sizeof(head), until, err) < 0)
        return -1;
    rd_cursor cursor = rd_cursor_of(RD_BYTES_ARRAY(head));
    uint32_t size = rd_cursor_u32be(&cursor);
    uint8_t type = rd_cursor_u8(&cursor);
    if (size < 1 || size - 1 > SIM_ANSWER_MAX)
        return rd_err_set(err, RD_E_TEE_REFUSED, "quoter answer of %u bytes, the bound is %u", size, SIM_ANSWER_MAX);
    size--;
    RD_CLEANUP(rd_free_p) uint8_t *payload = rd_alloc(size + 1);
    if (transfer(sim->fd, NULL, payload, size, until, err) < 0)
        return -1;
    if (type == SIM_REFUSED)
        return rd_err_set(err, RD_E_TEE_REFUSED, "the quoter refused: %.*s", (int)RD_MIN(size, 200u), payload);
    if (type != want)
        return rd_err_set(err, RD_E_TEE_REFUSED, "quoter answer of type 0x%02x, wanted 0x%02x", type, want);
    if (ret == NULL && size != 0)
        return rd_err_set(err, RD_E_TEE_REFUSED, "quoter answer of %u bytes, wanted none", size);
    if (ret != NULL && !rd_buf_append(ret, payload, size))
        return rd_err_set(err, RD_E_TOO_LARGE, "quote of %u bytes", size);
    return 0;
}

/* Answers come in the order of the questions: what was begun and is not wanted any more is read away. */
static int drop_begun(sim_platform *sim, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf ignored = { 0 };
    if (!sim->has_begun)
        return 0;
    sim->has_begun = false;
    return take_answer(sim, SIM_QUOTED, &ignored, err);
}

static int ask(sim_platform *sim, const rd_buf *question, uint8_t want, rd_buf *ret, rd_err *err)
{
    if (drop_begun(sim, err) < 0 || put_question(sim, question, err) < 0)
        return -1;
    return take_answer(sim, want, ret, err);
}

/* All questions at once, then all answers. */
static int sim_extend(encl_platform *platform, const uint8_t (*digests)[48], size_t count, rd_err *err)
{
    sim_platform *sim = (sim_platform *)platform;
    RD_CLEANUP(rd_buf_done) rd_buf questions = { 0 };
    for (size_t i = 0; i < count; i++) {
        rd_buf_append_u32be(&questions, 1 + 1 + 48);
        rd_buf_append_u8(&questions, SIM_EXTEND);
        rd_buf_append_u8(&questions, 3);
        rd_buf_append(&questions, digests[i], 48);
    }
    if (drop_begun(sim, err) < 0 || put_question(sim, &questions, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (take_answer(sim, SIM_EXTENDED, NULL, err) < 0)
            return -1;
    return 0;
}

static int sim_begin_quote(encl_platform *platform, const uint8_t report_data[64], rd_err *err)
{
    sim_platform *sim = (sim_platform *)platform;
    RD_CLEANUP(rd_buf_done) rd_buf question = { 0 };
    rd_buf_append_u32be(&question, 1 + 64);
    rd_buf_append_u8(&question, SIM_QUOTE);
    rd_buf_append(&question, report_data, 64);
    if (drop_begun(sim, err) < 0 || put_question(sim, &question, err) < 0)
        return -1;
    memcpy(sim->begun, report_data, sizeof(sim->begun));
    sim->has_begun = true;
    return 0;
}

static int sim_quote(encl_platform *platform, const uint8_t report_data[64], rd_buf *ret, rd_err *err)
{
    sim_platform *sim = (sim_platform *)platform;
    bool is_begun = sim->has_begun && memcmp(sim->begun, report_data, sizeof(sim->begun)) == 0;
    if (!is_begun && sim_begin_quote(platform, report_data, err) < 0)
        return -1;
    sim->has_begun = false;
    return take_answer(sim, SIM_QUOTED, ret, err);
}

static int sim_seal_key(encl_platform *platform, const char *label, uint8_t ret[32], rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf question = { 0 };
    RD_CLEANUP(rd_buf_wipe) rd_buf key = { 0 };
    rd_buf_append_u32be(&question, 1 + (uint32_t)strlen(label));
    rd_buf_append_u8(&question, SIM_SEAL_KEY);
    rd_buf_append_str(&question, label);
    if (ask((sim_platform *)platform, &question, SIM_SEAL_KEY_IS, &key, err) < 0)
        return -1;
    if (key.size != 32)
        return rd_err_set(err, RD_E_TEE_REFUSED, "a sealing key of %zu bytes", key.size);
    memcpy(ret, key.data, 32);
    return 0;
}

static void sim_free(encl_platform *platform)
{
    sim_platform *sim = (sim_platform *)platform;
    rd_close_p(&sim->fd);
    free(sim);
}

static const encl_platform_ops sim_ops = { .tee = "sim",
                                           .class_ = "simulated",
                                           .extend = sim_extend,
                                           .begin_quote = sim_begin_quote,
                                           .quote = sim_quote,
                                           .seal_key = sim_seal_key,
                                           .free = sim_free };

encl_platform *encl_platform_sim_new(int fd)
{
    sim_platform *sim = rd_alloc(sizeof(*sim));
    encl_platform_init(&sim->base, &sim_ops);
    sim->fd = fd;
    return &sim->base;
}
