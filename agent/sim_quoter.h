/* sim_quoter: a quoting enclave in software, with the measurement registers of one instance each.
 * Used by the process launcher: it feeds bytes of the quoter stream in and writes the answer bytes out.
 * Never class hardware; it proves nothing about the machine, it gives the verifier real work to do. */
#ifndef AGENT_SIM_QUOTER_H
#define AGENT_SIM_QUOTER_H

#include "common/base/bytes.h"
#include "common/base/err.h"

/* The quoting enclave of one platform: attestation key, QE report signed by the PCK key, certificates. */
typedef struct agent_sim_quoter agent_sim_quoter;

/* Opens a platform folder of agent_sim_pki_issue_platform and makes a fresh attestation key, and the folder's seal.key
 * (0600) when it has none. */
int agent_sim_quoter_open(const char *platform_dir, agent_sim_quoter **ret, rd_err *err) RD_NODISCARD;
agent_sim_quoter *agent_sim_quoter_free(agent_sim_quoter *quoter);
void agent_sim_quoter_free_p(agent_sim_quoter **quoter);

/* What the launcher measured. RTMR0 to RTMR2 start as one extension of zeros by the digest given, or zero when the
 * digest is all zero; RTMR3 starts zero. */
typedef struct agent_sim_launch {
    uint8_t mrtd[48];          /* SHA-384 of the redoubt-enclave binary */
    uint8_t configuration[48]; /* SHA-384 over the launch configuration: RTMR0 */
    uint8_t engine[48];        /* RTMR1 */
    uint8_t platform[48];      /* RTMR2 */
} agent_sim_launch;

/* The registers of one instance, and its end of the quoter stream (docs/protocol/enclave.md). The quoter must outlive
 * it. */
typedef struct agent_sim_door agent_sim_door;

agent_sim_door *agent_sim_door_new(agent_sim_quoter *quoter, const agent_sim_launch *launch);
agent_sim_door *agent_sim_door_free(agent_sim_door *door);
void agent_sim_door_free_p(agent_sim_door **door);

/* Bytes as they came from the stream, in pieces of any size; complete frames are answered in order into out. -1 when
 * the stream is beyond repair (a frame longer than 128 bytes): close it. A refused request is an answer 0xff, not an
 * error. */
int agent_sim_door_feed(agent_sim_door *door, rd_bytes in, rd_buf *out, rd_err *err) RD_NODISCARD;

/* What a purpose (1 to 32 bytes) of this measurement may seal under, on this platform alone: derived from a secret file
 * of the platform folder, seal.key. TEE_CLOSED once register 3 was extended. */
int agent_sim_door_seal_key(const agent_sim_door *door, rd_bytes label, uint8_t ret[32], rd_err *err) RD_NODISCARD;
/* The pieces of the message handler, for the launcher's own use and for tests. */
int agent_sim_door_extend(agent_sim_door *door, unsigned register_index, const uint8_t digest[48],
                          rd_err *err) RD_NODISCARD;
/* Appends a TDX quote v4 over the registers and report_data. */
int agent_sim_door_quote(const agent_sim_door *door, const uint8_t report_data[64], rd_buf *out,
                         rd_err *err) RD_NODISCARD;

#endif
