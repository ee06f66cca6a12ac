#include "agent/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"

#define GROUP_PREFIX "redoubt-"

typedef enum cgroup_part { PART_MEMORY, PART_PIDS, PART_CPU, PART_COUNT } cgroup_part;

static const char *const part_names[] = { "memory", "pids", "cpu" };

struct agent_cgroup {
    int version;             /* 0: none */
    char *parts[PART_COUNT]; /* parent directory of our groups for each part; the same one in version 2; NULL: none */
    bool has_leftover;       /* a group was still busy when it was to be removed */
    char missing[256];
};

static void note_missing(agent_cgroup *cgroup, const char *what)
{
    size_t used = strlen(cgroup->missing);
    (void)snprintf(cgroup->missing + used, sizeof(cgroup->missing) - used, "%s%s", used > 0 ? ", " : "", what);
}

static int write_file(const char *dir, const char *file, const char *text)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", dir, file);
    RD_CLEANUP(rd_close_p) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    return write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

static int write_number(const char *dir, const char *file, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return write_file(dir, file, text);
}

/* Whether a group can be made below dir. */
static bool is_writable(const char *dir)
{
    RD_CLEANUP(rd_free_p) char *probe = rd_asprintf("%s/redoubt-probe-%d", dir, (int)getpid());
    if (mkdir(probe, 0755) < 0)
        return false;
    return rmdir(probe) == 0;
}

/* The path of the own group in a hierarchy (proc(5), /proc/PID/cgroup: "ID:controllers:path"; version 2 is "0::path").
 */
static char *own_path(const char *self, const char *controller)
{
    FILE *file = fopen(self, "re");
    char line[PATH_MAX];
    char *found = NULL;
    while (file != NULL && found == NULL && fgets(line, sizeof(line), file) != NULL) {
        char *names = strchr(line, ':');
        char *path = names == NULL ? NULL : strchr(names + 1, ':');
        if (path == NULL)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        RD_CLEANUP(rd_free_p) char *list = rd_asprintf(",%s,", names + 1);
        RD_CLEANUP(rd_free_p) char *wanted = rd_asprintf(",%s,", controller);
        if (controller[0] == '\0' ? names[1] == '\0' : strstr(list, wanted) != NULL)
            found = rd_strdup(strcmp(path, "/") == 0 ? "" : path);
    }
    if (file != NULL)
        (void)fclose(file);
    return found;
}

static void read_text(const char *dir, const char *file, char *text, size_t size)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", dir, file);
    RD_CLEANUP(rd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);
    text[got > 0 ? got : 0] = '\0';
}

/* Version 2: a group that hands controllers down holds no process. When the agent is alone in its group, as a service
 * is, it steps aside into a group below. */
static void step_aside(const char *dir)
{
    char text[64], own[24];
    read_text(dir, "cgroup.procs", text, sizeof(text));
    (void)snprintf(own, sizeof(own), "%d\n", (int)getpid());
    if (strcmp(text, own) != 0)
        return;
    RD_CLEANUP(rd_free_p) char *below = rd_asprintf("%s/agent", dir);
    if (mkdir(below, 0755) == 0 || errno == EEXIST)
        (void)write_number(below, "cgroup.procs", (uint64_t)getpid());
}

static bool use_v2(agent_cgroup *cgroup, const char *dir)
{
    char text[256];
    if (!is_writable(dir))
        return false;
    for (int part = 0; part < PART_COUNT; part++) {
        char word[16];
        (void)snprintf(word, sizeof(word), "+%s", part_names[part]);
        read_text(dir, "cgroup.subtree_control", text, sizeof(text));
        if (strstr(text, part_names[part]) != NULL || write_file(dir, "cgroup.subtree_control", word) == 0)
            continue;
        if (errno == EBUSY) {
            step_aside(dir);
            (void)write_file(dir, "cgroup.subtree_control", word);
        }
    }
    read_text(dir, "cgroup.subtree_control", text, sizeof(text));
    if (strstr(text, part_names[PART_MEMORY]) == NULL)
        return false;
    cgroup->version = 2;
    for (int part = 0; part < PART_COUNT; part++) {
        if (strstr(text, part_names[part]) != NULL)
            cgroup->parts[part] = rd_strdup(dir);
        else
            note_missing(cgroup, part_names[part]);
    }
    return true;
}

static void use_v1(agent_cgroup *cgroup, const char *root, const char *self)
{
    for (int part = 0; part < PART_COUNT; part++) {
        RD_CLEANUP(rd_free_p) char *own = own_path(self, part_names[part]);
        char *dir = own == NULL ? NULL : rd_asprintf("%s/%s%s", root, part_names[part], own);
        if (dir != NULL && is_writable(dir)) {
            cgroup->parts[part] = dir;
            cgroup->version = 1;
            continue;
        }
        free(dir);
        note_missing(cgroup, part_names[part]);
    }
}

agent_cgroup *agent_cgroup_new(const char *setting, const char *root, const char *self)
{
    agent_cgroup *cgroup = rd_alloc(sizeof(*cgroup));
    if (strcmp(setting, "off") == 0) {
        note_missing(cgroup, "switched off");
        return cgroup;
    }
    if (setting[0] == '/') {
        if (!use_v2(cgroup, setting))
            note_missing(cgroup, "the directory given has no memory controller or is not writable");
        return cgroup;
    }
    RD_CLEANUP(rd_free_p) char *own = own_path(self, "");
    RD_CLEANUP(rd_free_p) char *dir = own == NULL ? NULL : rd_asprintf("%s%s", root, own);
    if (dir == NULL || !use_v2(cgroup, dir))
        use_v1(cgroup, root, self);
    return cgroup;
}

/* Each directory once: in version 2 the parts share one. */
static bool is_repeated(const agent_cgroup *cgroup, int part)
{
    for (int earlier = 0; earlier < part; earlier++) {
        if (cgroup->parts[earlier] != NULL && strcmp(cgroup->parts[earlier], cgroup->parts[part]) == 0)
            return true;
    }
    return false;
}

/* Removes groups of ours that are empty by now; the kernel keeps those that are not. */
static void sweep(agent_cgroup *cgroup)
{
    cgroup->has_leftover = false;
    for (int part = 0; part < PART_COUNT; part++) {
        if (cgroup->parts[part] == NULL || is_repeated(cgroup, part))
            continue;
        DIR *dir = opendir(cgroup->parts[part]);
        const struct dirent *entry;
        while (dir != NULL && (entry = readdir(dir)) != NULL) {
            if (!rd_starts_with(entry->d_name, GROUP_PREFIX))
                continue;
            RD_CLEANUP(rd_free_p) char *group = rd_asprintf("%s/%s", cgroup->parts[part], entry->d_name);
            (void)rmdir(group);
        }
        if (dir != NULL)
            (void)closedir(dir);
    }
}

agent_cgroup *agent_cgroup_free(agent_cgroup *cgroup)
{
    if (cgroup != NULL) {
        sweep(cgroup);
        for (int part = 0; part < PART_COUNT; part++)
            free(cgroup->parts[part]);
        free(cgroup);
    }
    return NULL;
}

const char *agent_cgroup_version(const agent_cgroup *cgroup)
{
    return cgroup->version == 2 ? "v2" : cgroup->version == 1 ? "v1" : "none";
}

const char *agent_cgroup_missing(const agent_cgroup *cgroup)
{
    return cgroup->missing;
}

static int limit_memory(const agent_cgroup *cgroup, const char *dir, uint64_t bytes)
{
    if (cgroup->version == 2)
        return write_number(dir, "memory.max", bytes);
    return write_number(dir, "memory.limit_in_bytes", bytes);
}

/* cpu_m thousandths of a core: a weight among the enclaves, as cores are shared and not cut. */
static int weigh_cpu(const agent_cgroup *cgroup, const char *dir, uint32_t cpu_m)
{
    if (cgroup->version == 2)
        return write_number(dir, "cpu.weight", RD_MAX(1u, RD_MIN(10000u, cpu_m / 10)));
    return write_number(dir, "cpu.shares", RD_MAX(2u, RD_MIN(262144u, (uint64_t)cpu_m * 1024 / 1000)));
}

int agent_cgroup_add(agent_cgroup *cgroup, const char *name, pid_t pid, uint64_t memory_bytes, uint32_t pids_max,
                     rd_err *err)
{
    for (int part = 0; part < PART_COUNT; part++) {
        if (cgroup->parts[part] == NULL)
            continue;
        RD_CLEANUP(rd_free_p) char *dir = rd_asprintf("%s/" GROUP_PREFIX "%s", cgroup->parts[part], name);
        if (mkdir(dir, 0755) < 0 && errno != EEXIST)
            return rd_err_set_errno(err, RD_E_IO, errno, "cgroup %s", dir);
        if (part == PART_MEMORY && memory_bytes > 0 && limit_memory(cgroup, dir, memory_bytes) < 0)
            return rd_err_set_errno(err, RD_E_IO, errno, "memory limit of %s", dir);
        if (part == PART_PIDS && pids_max > 0 && write_number(dir, "pids.max", pids_max) < 0)
            return rd_err_set_errno(err, RD_E_IO, errno, "process limit of %s", dir);
        if (!is_repeated(cgroup, part) && write_number(dir, "cgroup.procs", (uint64_t)pid) < 0)
            return rd_err_set_errno(err, RD_E_IO, errno, "moving process %d into %s", (int)pid, dir);
    }
    return 0;
}

int agent_cgroup_limit(agent_cgroup *cgroup, const char *name, uint64_t memory_bytes, uint32_t cpu_m, rd_err *err)
{
    if (cgroup->parts[PART_MEMORY] != NULL && memory_bytes > 0) {
        RD_CLEANUP(rd_free_p) char *dir = rd_asprintf("%s/" GROUP_PREFIX "%s", cgroup->parts[PART_MEMORY], name);
        if (limit_memory(cgroup, dir, memory_bytes) < 0)
            return rd_err_set_errno(err, RD_E_IO, errno, "memory limit of %s", dir);
    }
    if (cgroup->parts[PART_CPU] != NULL && cpu_m > 0) {
        RD_CLEANUP(rd_free_p) char *dir = rd_asprintf("%s/" GROUP_PREFIX "%s", cgroup->parts[PART_CPU], name);
        if (weigh_cpu(cgroup, dir, cpu_m) < 0)
            return rd_err_set_errno(err, RD_E_IO, errno, "processor share of %s", dir);
    }
    return 0;
}

void agent_cgroup_remove(agent_cgroup *cgroup, const char *name)
{
    if (cgroup->has_leftover)
        sweep(cgroup);
    for (int part = 0; part < PART_COUNT; part++) {
        if (cgroup->parts[part] == NULL || is_repeated(cgroup, part))
            continue;
        RD_CLEANUP(rd_free_p) char *dir = rd_asprintf("%s/" GROUP_PREFIX "%s", cgroup->parts[part], name);
        if (rmdir(dir) < 0 && errno != ENOENT)
            cgroup->has_leftover = true;
    }
}
