/* state: the agent's folder: key, certificates, what enrolment said, and where everything else lies.
 * Used by enrol, run and status. Files are replaced in one rename; the key never leaves the folder. */
#ifndef AGENT_STATE_H
#define AGENT_STATE_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/model/ids.h"

typedef struct agent_state {
    char *dir;
    char host[RD_ID_TEXT_SIZE]; /* "" before enrolment */
    char *link;                 /* addresses of the plane's link port, comma separated */
    char *plane_id;
    char *api;
    char *name;
    bool is_simulated;
} agent_state;

/* Opens the folder, making it (0700) when wanted; reads host.json when it is there. CONFIG when the folder may be read
 * by others. */
int agent_state_open(const char *dir, bool may_create, agent_state *ret, rd_err *err) RD_NODISCARD;
void agent_state_done(agent_state *state);
/* dir/name, the caller's. */
char *agent_state_path(const agent_state *state, const char *name);
/* Writes host.json. */
int agent_state_save(const agent_state *state, rd_err *err) RD_NODISCARD;
int agent_state_read(const agent_state *state, const char *name, rd_buf *out, rd_err *err) RD_NODISCARD;
int agent_state_write(const agent_state *state, const char *name, rd_bytes content, rd_err *err) RD_NODISCARD;

#define AGENT_FILE_KEY         "key.pem"
#define AGENT_FILE_CERTIFICATE "certificate.pem"
#define AGENT_FILE_CA          "ca.pem"
#define AGENT_FILE_HOST        "host.json"
#define AGENT_FILE_STATUS      "status.json"
#define AGENT_FILE_JOURNAL     "journal"
#define AGENT_DIR_BLOBS        "blobs"
#define AGENT_DIR_EVIDENCE     "evidence"
#define AGENT_DIR_PLATFORM     "platform" /* of a simulated host: what its software TEE signs with */
#define AGENT_DIR_RUN          "run"

#endif
