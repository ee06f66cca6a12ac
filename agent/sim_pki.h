/* sim_pki: a simulation PKI in a folder, in the shape of Intel's: root, PCK platform CA, TCB signing, CRLs, TDX TCB
 * info, TD_QE identity, and one PCK certificate a platform. Used by `redoubt-agent sim-pki` and by tests. Everything it
 * issues is class simulated and says so in its names. Never a substitute for hardware: a verifier trusts it only when
 * its own profile lists the root's fingerprint. */
#ifndef AGENT_SIM_PKI_H
#define AGENT_SIM_PKI_H

#include "common/base/bytes.h"
#include "common/base/err.h"

/* Makes folder dir (mode 0700, must not hold a PKI yet: USAGE) with
 *   root.pem root.key platform-ca.pem platform-ca.key tcb-signing.pem tcb-signing.key   (keys 0600)
 *   collateral.json      the collateral set of docs/protocol/formats.md
 *   fingerprint          SHA-256 of the root certificate, 64 hex digits and a newline
 *   state.json           FMSPC, CRL number and evaluation number
 * Each PKI draws an FMSPC of its own, so that two never answer for each other's platforms. */
int agent_sim_pki_create(const char *dir, int64_t now_us, rd_err *err) RD_NODISCARD;

/* New collateral.json from now_us on: TCB info and identity for 30 days, CRLs with a higher number for 30 days.
 * Replaced in one rename, so a reader sees the old or the new set. is_recovery: a TCB recovery, with the next
 * evaluation number; every platform of the PKI is OutOfDate under it. */
int agent_sim_pki_refresh(const char *dir, bool is_recovery, int64_t now_us, rd_err *err) RD_NODISCARD;

/* Makes platform folder out_dir (0700): pck.key (0600), pck-chain.pem (leaf, platform CA, root), collateral.json (a
 * copy). The PCK certificate has random PPID and platform instance id, so each platform has its own platform id. */
int agent_sim_pki_issue_platform(const char *dir, const char *out_dir, int64_t now_us, rd_err *err) RD_NODISCARD;

/* SHA-256 fingerprint of dir's root: what a verifier's profile lists. */
int agent_sim_pki_fingerprint(const char *dir, uint8_t ret[32], rd_err *err) RD_NODISCARD;

/* redoubt-agent sim-pki create|refresh|platform|fingerprint --dir D [--out P] [--recovery]. Prints help and errors;
 * returns the exit status. argv[0] is "sim-pki". */
int agent_sim_pki_main(int argc, char **argv);

#endif
