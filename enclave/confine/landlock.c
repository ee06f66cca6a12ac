#include "enclave/confine/landlock.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/mem.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self  446
#endif

/* struct landlock_ruleset_attr of ABI 6 (Documentation/userspace-api/landlock); older kernels take a prefix. */
typedef struct ruleset_attr {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
} ruleset_attr;

#define CREATE_RULESET_VERSION 1u
#define FS_ABI_1               0x1fffu    /* EXECUTE … MAKE_SYM */
#define FS_REFER               (1u << 13) /* ABI 2 */
#define FS_TRUNCATE            (1u << 14) /* ABI 3 */
#define NET_TCP                0x3u       /* ABI 4: BIND_TCP, CONNECT_TCP */
#define FS_IOCTL_DEV           (1u << 15) /* ABI 5 */
#define SCOPE_ALL              0x3u       /* ABI 6: ABSTRACT_UNIX_SOCKET, SIGNAL */

int encl_landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
    return abi < 0 ? 0 : (int)abi;
}

int encl_landlock_apply(int abi, rd_err *err)
{
    ruleset_attr attr = { .handled_access_fs = FS_ABI_1 };
    size_t size = sizeof(uint64_t);
    if (abi >= 2)
        attr.handled_access_fs |= FS_REFER;
    if (abi >= 3)
        attr.handled_access_fs |= FS_TRUNCATE;
    if (abi >= 4) {
        attr.handled_access_net = NET_TCP;
        size = 2 * sizeof(uint64_t);
    }
    if (abi >= 5)
        attr.handled_access_fs |= FS_IOCTL_DEV;
    if (abi >= 6) {
        attr.scoped = SCOPE_ALL;
        size = 3 * sizeof(uint64_t);
    }
    RD_CLEANUP(rd_close_p) int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (fd < 0)
        return rd_err_set_errno(err, RD_E_SANDBOX, errno, "landlock rule set of ABI %d", abi);
    if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        return rd_err_set_errno(err, RD_E_SANDBOX, errno, "landlock");
    return 0;
}
