// link: agent_core
/* The quoter stream as an instance writes it: any bytes, in pieces. Registers change only by a whole EXTEND, and every
 * answer is a whole frame. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/sim_pki.h"
#include "agent/sim_quoter.h"
#include "common/base/clock.h"
#include "common/base/cursor.h"
#include "common/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define WORK_MAX 8 /* quotes are signed: a few an input are enough */

static agent_sim_quoter *quoter;

int LLVMFuzzerInitialize(int *argc RD_UNUSED, char ***argv RD_UNUSED)
{
    static char dir[] = "/tmp/rd-fuzz-door-XXXXXX";
    rd_err err = RD_ERR_INIT;
    if (!mkdtemp(dir))
        abort();
    RD_CLEANUP(rd_free_p) char *pki = rd_asprintf("%s/pki", dir), *platform = rd_asprintf("%s/platform", dir);
    RD_CLEANUP(rd_free_p) char *clean = rd_asprintf("rm -rf %s", dir);
    if (agent_sim_pki_create(pki, rd_clock_wall_us(rd_clock_system()), &err) < 0 ||
        agent_sim_pki_issue_platform(pki, platform, rd_clock_wall_us(rd_clock_system()), &err) < 0 ||
        agent_sim_quoter_open(platform, &quoter, &err) < 0)
        abort();
    return system(clean);
}

static void check_answers(rd_bytes out)
{
    rd_cursor in = rd_cursor_of(out);
    while (rd_cursor_left(&in) > 0) {
        uint32_t size = rd_cursor_u32be(&in);
        uint8_t type = rd_cursor_u8(&in);
        (void)rd_cursor_take(&in, size - 1);
        if (size == 0 || !rd_cursor_is_ok(&in) || ((type < 0x81 || type > 0x83) && type != 0xff))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const agent_sim_launch launch = { .mrtd = { 1 }, .configuration = { 2 } };
    RD_CLEANUP(agent_sim_door_free_p) agent_sim_door *door = agent_sim_door_new(quoter, &launch);
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    if (size == 0 || size > WORK_MAX * 69)
        return 0;
    size_t piece = 1 + data[0] % 200;
    for (size_t at = 1; at < size; at += piece)
        if (agent_sim_door_feed(door, rd_bytes_of(data + at, RD_MIN(piece, size - at)), &out, NULL) < 0)
            break;
    check_answers(rd_buf_bytes(&out));
    return 0;
}
