#include "enclave/confine/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/mem.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

/* struct landlock_ruleset_attr of ABI 6 (Documentation/userspace-api/landlock); older kernels take a prefix. */
typedef struct ruleset_attr {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
} ruleset_attr;

typedef struct path_attr {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed)) path_attr;

#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH      1
#define FS_READ_FILE           (1u << 2)
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

static int allow_read(int rules, const char *path)
{
    RD_CLEANUP(rd_close_p) int fd = open(path, O_PATH | O_CLOEXEC);
    const path_attr attr = { .allowed_access = FS_READ_FILE, .parent_fd = fd };
    return fd < 0 ? -1 : (int)syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &attr, 0);
}

int encl_landlock_apply(int abi, const char *readable, rd_err *err)
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
    if (readable != NULL && allow_read(fd, readable) < 0)
        return rd_err_set_errno(err, RD_E_SANDBOX, errno, "landlock rule for %s", readable);
    if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        return rd_err_set_errno(err, RD_E_SANDBOX, errno, "landlock");
    return 0;
}
