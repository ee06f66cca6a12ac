#include "agent/run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/io/config.h"
#include "common/model/json.h"

#define DIR_MAX 60 /* leaves room for "/e/<26>/control.sock" in a socket's 108 bytes */
#define BACKLOG 256

static int make_private(const char *path, rd_err *err)
{
    struct stat info;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return rd_err_set_errno(err, RD_E_CONFIG, errno, "%s", path);
    if (lstat(path, &info) < 0 || !S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 077) != 0)
        return rd_err_set(err, RD_E_CONFIG, "%s must be a folder of ours with mode 0700", path);
    return 0;
}

int agent_run_dir_open(const char *dir, rd_err *err)
{
    if (strlen(dir) > DIR_MAX)
        return rd_err_set(err, RD_E_CONFIG, "run directory of %zu bytes, the bound is %d", strlen(dir), DIR_MAX);
    RD_CLEANUP(rd_free_p) char *enclaves = rd_asprintf("%s/e", dir);
    if (make_private(dir, err) < 0)
        return -1;
    return make_private(enclaves, err);
}

static int address_of(const char *dir, const char *tag, const char *name, struct sockaddr_un *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->sun_family = AF_UNIX;
    int size = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/e/%s/%s", dir, tag, name);
    return size < (int)sizeof(ret->sun_path) ? 0 : -1;
}

static int listen_at(const struct sockaddr_un *address, rd_err *err)
{
    RD_CLEANUP(rd_close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
        chmod(address->sun_path, 0600) < 0 || listen(fd, BACKLOG) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", address->sun_path);
    return rd_fd_take(&fd);
}

int agent_run_dir_make(const char *dir, const char *tag, char ret_http[AGENT_SOCKET_SIZE], int *ret_http_fd,
                       int *ret_control_fd, rd_err *err)
{
    struct sockaddr_un http, control;
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/e/%s", dir, tag);
    if (address_of(dir, tag, "http.sock", &http) < 0 || address_of(dir, tag, "control.sock", &control) < 0)
        return rd_err_set(err, RD_E_CONFIG, "run directory is too long");
    if (mkdir(path, 0700) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", path);
    RD_CLEANUP(rd_close_p) int http_fd = listen_at(&http, err);
    RD_CLEANUP(rd_close_p) int control_fd = http_fd < 0 ? -1 : listen_at(&control, err);
    if (control_fd < 0) {
        agent_run_dir_remove(dir, tag);
        return -1;
    }
    (void)snprintf(ret_http, AGENT_SOCKET_SIZE, "%s", http.sun_path);
    *ret_http_fd = rd_fd_take(&http_fd);
    *ret_control_fd = rd_fd_take(&control_fd);
    return 0;
}

void agent_run_dir_remove(const char *dir, const char *tag)
{
    static const char *const names[] = { "/http.sock", "/control.sock", "/record.json", "/record.json.tmp", "" };
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++) {
        RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/e/%s%s", dir, tag, names[i]);
        (void)remove(path);
    }
}

/* proc(5): field 22, counted behind the last ')' because a name may hold anything. */
static int read_start_time(pid_t pid, uint64_t *ret)
{
    char path[64];
    char text[1024];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    RD_CLEANUP(rd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (got <= 0)
        return -1;
    text[got] = '\0';
    char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return -1;
    *ret = strtoull(at + 1, NULL, 10);
    return 0;
}

static void read_boot_id(char out[40])
{
    RD_CLEANUP(rd_close_p) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, out, 39);
    out[got > 0 ? got : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

int agent_run_record_write(const char *dir, const char *tag, pid_t pid, rd_err *err)
{
    agent_run_record record = { .pid = pid };
    if (read_start_time(pid, &record.start_time) < 0)
        return rd_err_set(err, RD_E_IO, "process %d is gone already", (int)pid);
    read_boot_id(record.boot_id);
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_buf_printf(&text, "{\"boot_id\":\"%s\",\"pid\":%d,\"start_time\":%llu}\n", record.boot_id, (int)pid,
                  (unsigned long long)record.start_time);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/e/%s/record.json", dir, tag);
    /* After a crash of the machine there is no process to find. */
    return rd_file_write_volatile(path, text.data, text.size, 0600, err);
}

typedef struct record_file {
    int64_t pid;
    uint64_t start_time;
    char boot_id[40];
} record_file;

static const rd_json_field record_fields[] = {
    { .name = "boot_id", .kind = RD_JSON_TEXT, .offset = offsetof(record_file, boot_id), .max = 39 },
    { .name = "pid", .kind = RD_JSON_I64, .offset = offsetof(record_file, pid), .min = 2, .max = 1 << 30 },
    { .name = "start_time", .kind = RD_JSON_U64, .offset = offsetof(record_file, start_time) },
    RD_JSON_END,
};

int agent_run_record_open(const char *dir, const char *tag, pid_t *ret_pid)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/e/%s/record.json", dir, tag);
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    record_file record = { .pid = 0 };
    rd_err ignored = RD_ERR_INIT;
    if (rd_file_read(path, 4096, &text, &ignored) < 0 ||
        rd_json_load(rd_buf_bytes(&text), NULL, record_fields, RD_UNKNOWN_IGNORED, &record, &ignored) < 0)
        return -1;
    /* The pidfd first: what is compared afterwards is the process that it holds, or one that has ended. */
    RD_CLEANUP(rd_close_p) int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)record.pid, 0);
    uint64_t start_time = 0;
    char boot_id[40];
    read_boot_id(boot_id);
    if (pidfd < 0 || read_start_time((pid_t)record.pid, &start_time) < 0 || start_time != record.start_time ||
        strcmp(boot_id, record.boot_id) != 0)
        return -1;
    *ret_pid = (pid_t)record.pid;
    return rd_fd_take(&pidfd);
}

int agent_run_dir_dial(const char *dir, const char *tag)
{
    struct sockaddr_un address;
    RD_CLEANUP(rd_close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || address_of(dir, tag, "control.sock", &address) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -1;
    return rd_fd_take(&fd);
}
