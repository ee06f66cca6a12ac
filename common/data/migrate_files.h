/* migrate_files: the migration files, from a folder or as built into the program.
 * Used by migrate alone. Refuses gaps, doubled numbers, odd names and files over 1 MiB. */
#ifndef RD_DATA_MIGRATE_FILES_H
#define RD_DATA_MIGRATE_FILES_H

#include "common/base/err.h"

typedef struct rd_migration {
    int number;
    char *name; /* NNNN-name.sql */
    char *sql;  /* NUL-terminated */
    uint8_t checksum[32];
} rd_migration;

typedef struct rd_migrations {
    rd_migration *items; /* by number, from 1 without gaps */
    size_t count;
} rd_migrations;

/* dir NULL: the built-in files. Errors: MIGRATION, IO. */
int rd_migrations_load(const char *dir, rd_migrations *ret, rd_err *err) RD_NODISCARD;
void rd_migrations_done(rd_migrations *migrations);

/* Built in; ended by a row with name NULL. Generated from migrations/ at build. */
typedef struct rd_migration_embedded {
    const char *name;
    const unsigned char *sql;
    size_t size;
} rd_migration_embedded;
extern const rd_migration_embedded rd_migrations_embedded[];

#endif
