#include "tests/support/private_pg.h"

#include <dirent.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
    (void)fprintf(stderr, "private_pg: %s\n", what);
    abort();
}

/* Where the server's programs are: on Debian they are not on the PATH. */
static const char *bin_dir(void)
{
    static char found[128];
    for (int version = 20; version >= 15 && !found[0]; version--) {
        char path[96];
        (void)snprintf(path, sizeof path, "/usr/lib/postgresql/%d/bin", version);
        if (access(path, X_OK) == 0)
            (void)snprintf(found, sizeof found, "%s/", path);
    }
    return found;
}

static const struct passwd *account(void)
{
    const struct passwd *pw = getpwnam("nobody");
    if (geteuid() == 0 && !pw)
        fail("no unprivileged account");
    return geteuid() == 0 ? pw : NULL;
}

/* Runs a program under the unprivileged account, quietly; returns its exit code. */
static int run(const char *const argv[])
{
    const struct passwd *pw = account();
    pid_t pid = fork();
    if (pid == 0) {
        if (pw && (setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0))
            _exit(126);
        if (!freopen("/dev/null", "r", stdin) || !freopen("/dev/null", "w", stdout) ||
            !freopen("/dev/null", "w", stderr) || chdir("/") != 0)
            _exit(126);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        fail("cannot run a program");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/* Whether the server answers; asked by its own program, which needs no library here. */
static bool answers(const private_pg *pg)
{
    char program[160];
    (void)snprintf(program, sizeof program, "%spg_isready", bin_dir());
    const char *argv[] = { program, "-q", "-h", pg->dir, NULL };
    return run(argv) == 0;
}

/* A child of the test that ends with it, however the test ends. */
static pid_t spawn_server(const private_pg *pg)
{
    const struct passwd *pw = account();
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    char program[160], data[96], log[96];
    (void)snprintf(program, sizeof program, "%spostgres", bin_dir());
    (void)snprintf(data, sizeof data, "%s/data", pg->dir);
    (void)snprintf(log, sizeof log, "%s/log", pg->dir);
    if (pw && (setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0))
        _exit(126);
    if (prctl(PR_SET_PDEATHSIG, SIGQUIT) != 0 || getppid() != parent || setsid() < 0 || chdir("/") != 0 ||
        !freopen("/dev/null", "r", stdin) || !freopen(log, "a", stdout) || !freopen(log, "a", stderr))
        _exit(126);
    execl(program, program, "-D", data, (char *)NULL);
    _exit(127);
}

void private_pg_restart(private_pg *pg)
{
    /* After a kill the start is refused for as long as a backend of the old server still runs. */
    for (int tries = 0; tries < 600; tries++) {
        if (pg->pid <= 0)
            pg->pid = spawn_server(pg);
        (void)usleep(50000);
        if (answers(pg))
            return;
        if (waitpid(pg->pid, NULL, WNOHANG) == pg->pid)
            pg->pid = 0;
    }
    fail("the server does not start");
}

static void write_config(const private_pg *pg, const char *extra)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/data/postgresql.auto.conf", pg->dir);
    FILE *file = fopen(path, "a");
    if (!file)
        fail("postgresql.auto.conf");
    (void)fprintf(file,
                  "listen_addresses = ''\nunix_socket_directories = '%s'\nshared_buffers = 64MB\nmax_connections = 50\n"
                  "max_prepared_transactions = 0\nautovacuum_naptime = 10s\nlog_min_messages = warning\n%s\n",
                  pg->dir, extra ? extra : "");
    (void)fclose(file);
}

void private_pg_start(private_pg *pg, const char *extra)
{
    *pg = (private_pg){ .dir = "/tmp/rd-pg-XXXXXX" };
    if (!mkdtemp(pg->dir))
        fail("mkdtemp");
    const struct passwd *pw = account();
    if (pw && (chown(pg->dir, pw->pw_uid, pw->pw_gid) != 0 || chmod(pg->dir, 0755) != 0))
        fail("chown");
    char program[160], data[96];
    (void)snprintf(program, sizeof program, "%sinitdb", bin_dir());
    (void)snprintf(data, sizeof data, "%s/data", pg->dir);
    const char *init[] = {
        program, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N", NULL
    };
    if (run(init) != 0)
        fail("initdb");
    write_config(pg, extra);
    private_pg_restart(pg);
    (void)snprintf(program, sizeof program, "%screatedb", bin_dir());
    const char *create[] = { program, "-h", pg->dir, "-U", "postgres", "redoubt", NULL };
    if (run(create) != 0)
        fail("createdb");
    (void)snprintf(pg->conninfo, sizeof pg->conninfo, "host=%s dbname=redoubt user=postgres", pg->dir);
}

void private_pg_kill(private_pg *pg)
{
    /* The backends too, and first their list: as orphans they would answer for a moment longer. */
    int children[256];
    int count = 0;
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", pg->pid, pg->pid);
    FILE *file = fopen(path, "r");
    while (file && count < 256 && fscanf(file, "%d", &children[count]) == 1)
        count++;
    if (file)
        (void)fclose(file);
    if (pg->pid > 0) {
        (void)kill(pg->pid, SIGKILL);
        (void)waitpid(pg->pid, NULL, 0);
    }
    for (int i = 0; i < count; i++)
        (void)kill(children[i], SIGKILL);
    pg->pid = 0;
}

static void remove_tree(const char *dir)
{
    const char *argv[] = { "/bin/rm", "-rf", dir, NULL };
    (void)run(argv);
    (void)rmdir(dir);
}

void private_pg_stop(private_pg *pg)
{
    if (pg->pid > 0) {
        (void)kill(pg->pid, SIGQUIT);
        (void)waitpid(pg->pid, NULL, 0);
    }
    remove_tree(pg->dir);
    pg->pid = 0;
}

const char *private_pg_as(const private_pg *pg, const char *role)
{
    static char text[8][160];
    static int turn;
    turn = (turn + 1) % 8;
    (void)snprintf(text[turn], sizeof text[turn], "host=%s dbname=redoubt user=%s", pg->dir, role);
    return text[turn];
}
