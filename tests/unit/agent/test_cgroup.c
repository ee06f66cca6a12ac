/* Both versions against trees of plain folders: which files get which numbers, and what is said where nothing is
 * writable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/cgroup.h"
#include "common/base/mem.h"

static char root[32];

static void put(const char *path, const char *text)
{
    RD_CLEANUP(rd_free_p) char *full = rd_asprintf("%s/%s", root, path);
    FILE *out = fopen(full, "we");
    assert_non_null(out);
    (void)fputs(text, out);
    (void)fclose(out);
}

static void make(const char *path)
{
    RD_CLEANUP(rd_free_p) char *full = rd_asprintf("%s/%s", root, path);
    assert_int_equal(mkdir(full, 0755), 0);
}

static void expect(const char *path, const char *want)
{
    char text[64] = "";
    RD_CLEANUP(rd_free_p) char *full = rd_asprintf("%s/%s", root, path);
    FILE *in = fopen(full, "re");
    if (in == NULL)
        fail_msg("%s is missing", path);
    (void)!fgets(text, sizeof(text), in);
    (void)fclose(in);
    if (strcmp(text, want) != 0)
        fail_msg("%s: %s, wanted %s", path, text, want);
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof(root), "/tmp/rd-cgroup-XXXXXX");
    return mkdtemp(root) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command);
}

static agent_cgroup *open_tree(const char *setting)
{
    RD_CLEANUP(rd_free_p) char *self = rd_asprintf("%s/self", root);
    return agent_cgroup_new(setting, root, self);
}

static void test_v2(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    put("self", "0::/own\n");
    make("own");
    put("own/cgroup.subtree_control", "cpuset cpu memory pids");
    agent_cgroup *cgroup = open_tree("auto");
    assert_string_equal(agent_cgroup_version(cgroup), "v2");
    assert_string_equal(agent_cgroup_missing(cgroup), "");
    make("own/redoubt-one");
    static const char *const files[] = { "own/redoubt-one/memory.max", "own/redoubt-one/pids.max",
                                         "own/redoubt-one/cgroup.procs", "own/redoubt-one/cpu.weight" };
    for (size_t i = 0; i < RD_ARRAY_LEN(files); i++)
        put(files[i], "");
    assert_int_equal(agent_cgroup_add(cgroup, "one", 4711, 1 << 20, 4, &err), 0);
    assert_int_equal(agent_cgroup_limit(cgroup, "one", 0, 500, &err), 0);
    expect("own/redoubt-one/memory.max", "1048576");
    expect("own/redoubt-one/pids.max", "4");
    expect("own/redoubt-one/cgroup.procs", "4711");
    expect("own/redoubt-one/cpu.weight", "50");
    agent_cgroup_free(cgroup);
}

static void test_v2_without_memory(void **state)
{
    (void)state;
    put("self", "0::/own\n");
    make("own");
    put("own/cgroup.subtree_control", "");
    agent_cgroup *cgroup = open_tree("auto"); /* a plain file keeps the last word written alone: +cpu */
    assert_string_equal(agent_cgroup_version(cgroup), "none");
    assert_string_equal(agent_cgroup_missing(cgroup), "memory, pids, cpu");
    agent_cgroup_free(cgroup);
}

static void test_v1(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    put("self", "9:name=systemd:/\n8:pids:/\n4:memory:/deep/er\n1:cpu,cpuacct:/\n0::/\n");
    make("pids");
    make("memory");
    make("memory/deep");
    make("memory/deep/er");
    make("cpu");
    agent_cgroup *cgroup = open_tree("auto");
    assert_string_equal(agent_cgroup_version(cgroup), "v1");
    assert_string_equal(agent_cgroup_missing(cgroup), "");
    make("memory/deep/er/redoubt-one");
    make("pids/redoubt-one");
    make("cpu/redoubt-one");
    static const char *const files[] = { "memory/deep/er/redoubt-one/memory.limit_in_bytes",
                                         "memory/deep/er/redoubt-one/cgroup.procs",
                                         "pids/redoubt-one/pids.max",
                                         "pids/redoubt-one/cgroup.procs",
                                         "cpu/redoubt-one/cgroup.procs",
                                         "cpu/redoubt-one/cpu.shares" };
    for (size_t i = 0; i < RD_ARRAY_LEN(files); i++)
        put(files[i], "");
    assert_int_equal(agent_cgroup_add(cgroup, "one", 4711, 1 << 20, 4, &err), 0);
    assert_int_equal(agent_cgroup_limit(cgroup, "one", 0, 500, &err), 0);
    expect("memory/deep/er/redoubt-one/memory.limit_in_bytes", "1048576");
    expect("memory/deep/er/redoubt-one/cgroup.procs", "4711");
    expect("pids/redoubt-one/pids.max", "4");
    expect("pids/redoubt-one/cgroup.procs", "4711");
    expect("cpu/redoubt-one/cgroup.procs", "4711");
    expect("cpu/redoubt-one/cpu.shares", "512");
    agent_cgroup_free(cgroup);
}

static void test_missing(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    put("self", "8:pids:/\n4:memory:/gone\n");
    make("pids");
    agent_cgroup *cgroup = open_tree("auto");
    assert_string_equal(agent_cgroup_version(cgroup), "v1");
    assert_string_equal(agent_cgroup_missing(cgroup), "memory, cpu");
    agent_cgroup_free(cgroup);
    cgroup = open_tree("off");
    assert_string_equal(agent_cgroup_version(cgroup), "none");
    assert_string_equal(agent_cgroup_missing(cgroup), "switched off");
    assert_int_equal(agent_cgroup_add(cgroup, "one", 1, 1, 1, &err), 0);
    agent_cgroup_remove(cgroup, "one");
    agent_cgroup_free(cgroup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_v2, setup, teardown),
        cmocka_unit_test_setup_teardown(test_v2_without_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_v1, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
    };
    return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
