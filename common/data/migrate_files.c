#include "common/data/migrate_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"

#define FILE_SIZE_MAX  ((size_t)1 << 20)
#define FILE_COUNT_MAX 1000

void rd_migrations_done(rd_migrations *migrations)
{
    for (size_t i = 0; i < migrations->count; i++) {
        free(migrations->items[i].name);
        free(migrations->items[i].sql);
    }
    free(migrations->items);
    *migrations = (rd_migrations){ 0 };
}

/* NNNN-name.sql; 0 for other names. */
static int number_of(const char *name)
{
    uint64_t number = 0;
    size_t size = strlen(name);
    if (size < 10 || name[4] != '-' || strcmp(name + size - 4, ".sql") != 0)
        return 0;
    for (int i = 0; i < 4; i++) {
        if (name[i] < '0' || name[i] > '9')
            return 0;
        number = number * 10 + (uint64_t)(name[i] - '0');
    }
    return (int)number;
}

static int add(rd_migrations *list, const char *name, rd_bytes sql, rd_err *err)
{
    int number = number_of(name);
    if (number == 0)
        return rd_err_set(err, RD_E_MIGRATION, "%s: migrations are called NNNN-name.sql", name);
    if (memchr(sql.data, 0, sql.size))
        return rd_err_set(err, RD_E_MIGRATION, "%s: has a NUL byte", name);
    if (list->count == FILE_COUNT_MAX)
        return rd_err_set(err, RD_E_MIGRATION, "more than %d migrations", FILE_COUNT_MAX);
    list->items = rd_realloc(list->items, (list->count + 1) * sizeof *list->items);
    rd_migration *item = &list->items[list->count++];
    *item = (rd_migration){ .number = number,
                            .name = rd_strdup(name),
                            .sql = rd_strndup((const char *)sql.data, sql.size) };
    rd_sha256(sql, item->checksum);
    return 0;
}

static int read_file(int dir_fd, const char *name, rd_buf *buf, rd_err *err)
{
    RD_CLEANUP(rd_close_p) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", name);
    for (;;) {
        uint8_t *room = rd_buf_reserve(buf, 8192);
        if (!room)
            return rd_err_set(err, RD_E_MIGRATION, "%s: more than %zu bytes", name, FILE_SIZE_MAX);
        ssize_t size = read(fd, room, 8192);
        if (size < 0)
            return rd_err_set_errno(err, RD_E_IO, errno, "%s", name);
        if (size == 0)
            return 0;
        rd_buf_commit(buf, (size_t)size);
    }
}

static void close_dir(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir);
}

static int load_dir(const char *path, rd_migrations *list, rd_err *err)
{
    RD_CLEANUP(close_dir) DIR *dir = opendir(path);
    if (!dir)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", path);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        size_t size = strlen(entry->d_name);
        if (size < 4 || strcmp(entry->d_name + size - 4, ".sql") != 0)
            continue;
        RD_CLEANUP(rd_buf_done) rd_buf buf;
        rd_buf_init(&buf, FILE_SIZE_MAX);
        if (read_file(dirfd(dir), entry->d_name, &buf, err) < 0 ||
            add(list, entry->d_name, rd_buf_bytes(&buf), err) < 0)
            return rd_err_wrap(err, "%s", path);
    }
    return 0;
}

static int by_number(const void *a, const void *b)
{
    return ((const rd_migration *)a)->number - ((const rd_migration *)b)->number;
}

static int check_numbers(rd_migrations *list, rd_err *err)
{
    if (list->count == 0)
        return rd_err_set(err, RD_E_MIGRATION, "no migrations");
    qsort(list->items, list->count, sizeof *list->items, by_number);
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].number != (int)i + 1)
            return rd_err_set(err, RD_E_MIGRATION, "%s stands where number %zu belongs", list->items[i].name, i + 1);
    return 0;
}

static int load(const char *dir, rd_migrations *list, rd_err *err)
{
    if (dir && load_dir(dir, list, err) < 0)
        return -1;
    for (const rd_migration_embedded *file = rd_migrations_embedded; !dir && file->name; file++)
        if (add(list, file->name, rd_bytes_of(file->sql, file->size), err) < 0)
            return -1;
    return check_numbers(list, err);
}

int rd_migrations_load(const char *dir, rd_migrations *ret, rd_err *err)
{
    rd_migrations list = { 0 };
    if (load(dir, &list, err) < 0) {
        rd_migrations_done(&list);
        return -1;
    }
    *ret = list;
    return 0;
}
