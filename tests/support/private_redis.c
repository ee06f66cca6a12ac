#include "tests/support/private_redis.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
    (void)fprintf(stderr, "private_redis: %s\n", what);
    abort();
}

static int answers(const private_redis *redis)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/s", redis->dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int ok = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        (void)close(fd);
    return ok;
}

void private_redis_restart(private_redis *redis)
{
    char socket_path[96];
    (void)snprintf(socket_path, sizeof socket_path, "%s/s", redis->dir);
    redis->pid = fork();
    if (redis->pid == 0) {
        /* It ends with the test, however the test ends. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || !freopen("/dev/null", "w", stdout) ||
            !freopen("/dev/null", "w", stderr))
            _exit(126);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", socket_path, "--save", "", "--appendonly",
               "no", "--dir", redis->dir, "--maxmemory-policy", "noeviction", (char *)NULL);
        _exit(127);
    }
    for (int tries = 0; tries < 500; tries++) {
        if (answers(redis))
            return;
        (void)usleep(10000);
    }
    fail("redis-server does not answer");
}

void private_redis_start(private_redis *redis)
{
    *redis = (private_redis){ .dir = "/tmp/rd-rs-XXXXXX" };
    if (!mkdtemp(redis->dir))
        fail("mkdtemp");
    (void)snprintf(redis->address, sizeof redis->address, "unix:%s/s", redis->dir);
    private_redis_restart(redis);
}

void private_redis_kill(private_redis *redis)
{
    if (redis->pid > 0) {
        (void)kill(redis->pid, SIGKILL);
        (void)waitpid(redis->pid, NULL, 0);
    }
    redis->pid = 0;
}

void private_redis_stop(private_redis *redis)
{
    private_redis_kill(redis);
    char path[96];
    (void)snprintf(path, sizeof path, "%s/s", redis->dir);
    (void)unlink(path);
    (void)rmdir(redis->dir);
}
