/* launcher: where enclaves come from, seen by the agent: a table of calls, and the handle of one enclave.
 * Used by pool, jobs and splice; each launcher (process, later qemu) fills the table. Everything runs on the agent's
 * loop. Believes nothing that an enclave says: what it hands on is for the plane to verify.
 */
#ifndef AGENT_LAUNCHER_H
#define AGENT_LAUNCHER_H

#include <uv.h>

#include "common/base/bytes.h"
#include "common/base/err.h"

typedef struct agent_launcher agent_launcher;
/* One enclave, from the launch request to its end. */
typedef struct agent_enclave agent_enclave;

typedef enum agent_enclave_state {
    AGENT_ENCLAVE_STARTING,  /* asked for, not yet ready */
    AGENT_ENCLAVE_BLANK,     /* confined and ready to be specialised */
    AGENT_ENCLAVE_LAUNCHING, /* HEADER was sent */
    AGENT_ENCLAVE_ATTESTING, /* evidence was made */
    AGENT_ENCLAVE_SERVING,
    AGENT_ENCLAVE_DRAINING,
    AGENT_ENCLAVE_FAILED, /* said why; on_ended follows */
    AGENT_ENCLAVE_ENDED,
} agent_enclave_state;

const char *agent_enclave_state_name(agent_enclave_state state);

/* What happens to an enclave. Each may be NULL. Borrowed arguments live for the call. A callback may call anything on
 * the enclave, agent_enclave_forget included. */
typedef struct agent_enclave_events {
    /* Ready to be specialised; report is the JSON of its confinement ({"sandbox":{…},"missing":[…]}). */
    void (*on_blank)(void *context, agent_enclave *enclave, rd_bytes report);
    /* Evidence of purpose blank, soon after on_blank; not once the enclave has its order. */
    void (*on_attested)(void *context, agent_enclave *enclave, rd_bytes bundle);
    /* Phase "launching", "attesting", "serving" or "failed"; reason is a code of err_codes.def or "". */
    void (*on_phase)(void *context, agent_enclave *enclave, const char *phase, const char *reason, const char *detail);
    /* An evidence bundle (formats.md): after START, and for each agent_enclave_renew. */
    void (*on_evidence)(void *context, agent_enclave *enclave, rd_bytes bundle);
    /* It wants a grant of its key service: with evidence over a nonce of that service, or without (no data): then it
     * wants a nonce first. webhook: the owner's answer, RD_WEBHOOK_ANSWER_SIZE bytes, where its policy asks for one. At
     * the start, and each time that its grant has to be renewed. */
    void (*on_grant_wanted)(void *context, agent_enclave *enclave, rd_bytes bundle, rd_bytes webhook);
    /* One line of the tenant's output, or of the runtime: for the plane's log stream, never for the agent's own log. */
    void (*on_log)(void *context, agent_enclave *enclave, const char *level, rd_bytes text);
    /* The record of a burst of receipts, for the plane to keep. */
    void (*on_receipts)(void *context, agent_enclave *enclave, rd_bytes record);
    /* Drained: every request was answered, it is about to exit. */
    void (*on_drained)(void *context, agent_enclave *enclave);
    /* Gone, whatever the cause ("exit 0", "signal 31 (SIGSYS)", "killed", "launch failed: …"). The last call; the
     * enclave's files and cgroup are removed. The handle stays until agent_enclave_forget. */
    void (*on_ended)(void *context, agent_enclave *enclave, const char *how);
} agent_enclave_events;

/* Everything that makes a blank an instance; borrowed for the call. */
typedef struct agent_specialise {
    uint8_t header[96]; /* raw app id ‖ raw release digest ‖ kms set digest */
    rd_bytes genesis;   /* canonical JSON */
    rd_bytes head;      /* envelope */
    rd_bytes release;   /* envelope */
    rd_bytes code;      /* code bundle, sealed or not */
    rd_bytes kms;       /* genesis of the key service, or no data: the app has none */
    const char *kms_id; /* beside it */
    bool has_grant_nonce;
    uint8_t grant_nonce[32];
    const char *instance;
    uint64_t epoch;
    uint8_t nonce[32];
    int64_t host_time_us;
    uint64_t memory_bytes; /* for the cgroup; 0: the launcher's default */
    uint32_t cpu_m;        /* thousandths of a core; 0: no weight is set */
} agent_specialise;

/* What a launcher is, as GET /v1/hosts shows it. Borrowed from the launcher. */
typedef struct agent_launcher_info {
    const char *name;   /* "process" */
    const char *class_; /* "simulated" or "hardware" */
    const char *tee;    /* "sim", "tdx" */
    char mrtd[97];      /* lower-case hex, "" until the launcher is ready */
    bool is_ready;      /* can launch now */
    const char *limits; /* one sentence on what is not enforced here ("cgroup not writable: …"), or "" */
} agent_launcher_info;

/* An enclave that an earlier agent process started and that still runs. */
typedef void (*agent_adopted_fn)(void *context, agent_enclave *enclave);
/* All that could be adopted were; blanks and those that did not answer within two seconds were ended. */
typedef void (*agent_adopt_done_fn)(void *context, size_t adopted_count);

typedef struct agent_launcher_ops {
    /* Says whether this launcher can work on this machine; a refusal names what is missing. */
    int (*probe)(agent_launcher *launcher, rd_err *err);
    int (*launch)(agent_launcher *launcher, const agent_enclave_events *events, void *context, agent_enclave **ret,
                  rd_err *err);
    /* It has ended: remove its files and cgroup, drop it from the launcher's list. Called once, before on_ended. */
    void (*gone)(agent_enclave *enclave);
    /* SIGKILL (or its like) at once. */
    void (*kill)(agent_enclave *enclave);
    /* Sets the limits that are not 0: memory before HEADER is sent, the processor's share once it serves. Failures are
     * logged, not fatal. */
    void (*limit)(agent_enclave *enclave, uint64_t memory_bytes, uint32_t cpu_m);
    int (*adopt)(agent_launcher *launcher, const agent_enclave_events *events, void *context, agent_adopted_fn adopted,
                 agent_adopt_done_fn done, rd_err *err);
    const agent_launcher_info *(*describe)(agent_launcher *launcher);
    /* Whether this evidence is that of a blank which this launcher started, and fit to be given out (blank.h). */
    int (*check_blank)(agent_launcher *launcher, rd_bytes bundle, rd_err *err);
    /* A connection to the enclave's control listener, for an outgoing request of its function; -1 when it is gone. */
    int (*dial)(agent_enclave *enclave);
    /* stops_enclaves false: everything keeps running, to be adopted (an update of the agent). Drops all handles. closed
     * is called at the end, from the loop. */
    void (*close)(agent_launcher *launcher, bool stops_enclaves, void (*closed)(void *context), void *context);
} agent_launcher_ops;

struct agent_launcher {
    const agent_launcher_ops *ops;
    uv_loop_t *loop;
    struct agent_egress *egress; /* the way out for enclaves; borrowed, NULL: there is none */
};

/* Starts one blank enclave. Returns at once; on_blank or on_ended follows (bounded: ten seconds). *ret is valid until
 * agent_enclave_forget. Errors: UNAVAILABLE (launcher not ready or too many enclaves), IO. */
int agent_launch(agent_launcher *launcher, const agent_enclave_events *events, void *context, agent_enclave **ret,
                 rd_err *err) RD_NODISCARD;

/* Gives the enclave another owner: pool to job. */
void agent_enclave_set_events(agent_enclave *enclave, const agent_enclave_events *events, void *context);

/* BLANK only, once: sends header, documents, code and start, and limits its memory. on_phase and on_evidence
 * follow. Errors: UNAVAILABLE when it is not blank, TOO_LARGE. */
int agent_enclave_specialise(agent_enclave *enclave, const agent_specialise *with, rd_err *err) RD_NODISCARD;
/* The processor share of one that was adopted: the agent before may have gone before it gave it. 0: nothing. */
void agent_enclave_share(agent_enclave *enclave, uint32_t cpu_m);
/* Asks a serving enclave for fresh status evidence. */
int agent_enclave_renew(agent_enclave *enclave, const uint8_t nonce[32], rd_err *err) RD_NODISCARD;
/* For an enclave that wants a grant: a nonce to make evidence over, and the key service's answer, opened by nobody on
 * the way. head: the app's newest, an envelope, under which one that serves may go on; or no data. Errors: UNAVAILABLE
 * when it does not run, TOO_LARGE. */
int agent_enclave_nonce(agent_enclave *enclave, const uint8_t nonce[32], rd_bytes head, rd_err *err) RD_NODISCARD;
int agent_enclave_grant(agent_enclave *enclave, rd_bytes grant, rd_err *err) RD_NODISCARD;
/* Refuse new requests, finish the rest, exit. The caller bounds it with a timer and agent_enclave_kill. */
void agent_enclave_drain(agent_enclave *enclave);
/* Asks it to exit at once; killed when it has not after a second. on_ended follows. */
void agent_enclave_stop(agent_enclave *enclave);
void agent_enclave_kill(agent_enclave *enclave);
/* Drops the handle: no callback comes any more. A living enclave is killed. Accepts NULL. */
void agent_enclave_forget(agent_enclave *enclave);

agent_enclave_state agent_enclave_get_state(const agent_enclave *enclave);
/* False once its process has exited, also before on_ended, which waits a moment for the cause. */
bool agent_enclave_is_alive(const agent_enclave *enclave);
/* Path of the unix socket that serves HTTP (enclave.md); dial it only in SERVING and DRAINING. */
const char *agent_enclave_socket(const agent_enclave *enclave);
/* Process id in the agent's namespace; 0 before it is known. */
pid_t agent_enclave_pid(const agent_enclave *enclave);
/* Of START, or as an adopted enclave says itself; "" and 0 while blank. */
const char *agent_enclave_instance(const agent_enclave *enclave);
uint64_t agent_enclave_epoch(const agent_enclave *enclave);

/* `redoubt-agent measure [PATH]` (argv[0] is "measure"): prints {"mrtd":…,"path":…} of an enclave binary; returns the
 * exit code. */
int agent_measure_main(int argc, char **argv);
/* `redoubt-agent sim-tee …` (argv[0] is "sim-tee"): the simulated TEE, a process of its own that outlives the agent
 * (docs/decisions/0006); started by the process launcher alone. main must dispatch to it before it parses its own
 * options. */
int agent_sim_tee_main(int argc, char **argv);

#endif
