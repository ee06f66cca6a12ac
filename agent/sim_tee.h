/* sim_tee: the simulated TEE, a process of its own: measures the enclave binary, keeps its zygote running, and answers
 * the quoter streams. Used through launch_process; outlives the agent, so that instances and their registers do too.
 * Proves nothing about the machine: class simulated.
 *
 * Messages on its socket (SOCK_SEQPACKET, run_dir/tee.sock), first byte the type. Agent to TEE: 1 HELLO; 2 LAUNCH (tag,
 * with control stream, HTTP listener and control listener); 3 QUIT (exit once no instance is left); 4 KMS (JSON: the
 * key service that is to run here, sim_kms.h; the first order counts). TEE to agent: 0x81 HELLO (JSON
 * {"mrtd","pid","zygote"}); 0x82 LAUNCHED (tag, u32be pid, u8 status, text, with a pidfd); 0x83 ENDED (u32be pid,
 * text); 0x84 KMS (u8: 1 when it serves, text why not), to each agent that ordered it, then at each change.
 */
#ifndef AGENT_SIM_TEE_H
#define AGENT_SIM_TEE_H

enum { TEE_HELLO = 1, TEE_LAUNCH, TEE_QUIT, TEE_KMS, TEE_HELLO_IS = 0x81, TEE_LAUNCHED, TEE_ENDED, TEE_KMS_IS };

#define AGENT_TEE_SOCKET "tee.sock"
/* What --ready-fd gets once the socket listens, or the cause of a failure as text. */
#define AGENT_TEE_READY "ready"

#endif
