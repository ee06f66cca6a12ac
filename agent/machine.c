#include "agent/machine.h"

#include "common/base/mem.h"
#include "common/io/config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SLOT_BYTES ((uint64_t)128 << 20)
#define SLOTS_MAX  1024u

agent_capacity agent_machine_capacity(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_size = sysconf(_SC_PAGESIZE);
    uint64_t memory = pages > 0 && page_size > 0 ? (uint64_t)pages * (uint64_t)page_size / 5 * 4 : SLOT_BYTES;
    uint64_t slots = RD_MAX(memory / SLOT_BYTES, (uint64_t)1);
    return (agent_capacity){ .cpu_m = cores > 0 ? (uint64_t)cores * 1000 : 1000,
                             .memory_bytes = memory,
                             .slots = RD_MIN(slots, (uint64_t)SLOTS_MAX) };
}

/* A KVM module parameter that says Y or 1. */
static bool is_on(const char *path)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_err err = RD_ERR_INIT;
    return rd_file_read(path, 64, &text, &err) == 0 && text.size > 0 && (text.data[0] == 'Y' || text.data[0] == '1');
}

int agent_machine_tee(rd_err *err)
{
    static const char *const devices[] = { "/dev/sgx_enclave", "/dev/tdx_guest", "/dev/sev" };
    char missing[128] = "", present[128] = "";
    for (size_t i = 0; i < RD_ARRAY_LEN(devices); i++) {
        char *list = access(devices[i], F_OK) == 0 ? present : missing;
        size_t used = strlen(list);
        (void)snprintf(list + used, sizeof missing - used, "%s%s", used ? ", " : "", devices[i]);
    }
    bool has_tdx = is_on("/sys/module/kvm_intel/parameters/tdx");
    bool has_snp = is_on("/sys/module/kvm_amd/parameters/sev_snp");
    const char *kvm = has_tdx && has_snp ? "KVM has TDX and SNP"
                      : has_tdx          ? "KVM has TDX"
                      : has_snp          ? "KVM has SNP"
                                         : "KVM has neither TDX nor SNP";
    if (!present[0] && !has_tdx && !has_snp)
        return rd_err_set(err, RD_E_NO_TEE, "no TEE found: %s absent, %s", missing, kvm);
    return rd_err_set(err, RD_E_NO_TEE, "%s%s%s, but this build has no launcher for hardware TEEs yet", present,
                      present[0] ? " present, " : "", kvm);
}
