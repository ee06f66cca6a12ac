#include "enclave/kms/kms_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/crypto/aead.h"
#include "common/crypto/hash.h"
#include "common/crypto/random.h"

#define BASE_LABEL   "redoubt/kms-state/v2"
#define CHANGE_LABEL "redoubt/kms-state-change/v1"
#define BASE_HEAD    (8 + 4 + RD_AEAD_NONCE_SIZE) /* generation, size of what follows, nonce */
#define CHANGE_HEAD  (4 + RD_AEAD_NONCE_SIZE)     /* size of what follows, nonce */

static int open_in(const char *dir, const char *name, int flags, unsigned mode)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", dir, name);
    return open(path, flags | O_CLOEXEC | O_NOFOLLOW, mode);
}

/* A folder that is new is there after a crash too: what is synced inside it counts on that. */
static int make_folder(const char *dir, rd_err *err)
{
    if (mkdir(dir, 0700) < 0)
        return errno == EEXIST ? 0 : rd_err_set_errno(err, RD_E_IO, errno, "%s", dir);
    RD_CLEANUP(rd_close_p) int above = open_in(dir, "..", O_RDONLY | O_DIRECTORY, 0);
    if (above < 0 || fsync(above) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s/..", dir);
    return 0;
}

int kms_store_open(const char *dir, kms_store *ret, rd_err *err)
{
    struct stat info;
    *ret = (kms_store){ .slots = { -1, -1 }, .lock_fd = -1 };
    if (make_folder(dir, err) < 0)
        return -1;
    if (stat(dir, &info) < 0 || !S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 077) != 0)
        return rd_err_set(err, RD_E_CONFIG, "%s is not a folder of ours that nobody else may enter (chmod 700)", dir);
    ret->lock_fd = open_in(dir, "lock", O_RDWR | O_CREAT, 0600);
    if (ret->lock_fd < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s/lock", dir);
    if (flock(ret->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return rd_err_set_errno(err, RD_E_CONFIG, errno, "%s is another key service's", dir);
    ret->slots[0] = open_in(dir, "state.0", O_RDWR | O_CREAT, 0600);
    ret->slots[1] = open_in(dir, "state.1", O_RDWR | O_CREAT, 0600);
    if (ret->slots[0] < 0 || ret->slots[1] < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s/state", dir);
    return 0;
}

void kms_store_done(kms_store *store)
{
    rd_close_p(&store->slots[0]);
    rd_close_p(&store->slots[1]);
    rd_close_p(&store->lock_fd);
}

/* --- slots --- */

static int read_at(int fd, size_t offset, uint8_t *out, size_t size)
{
    while (size > 0) {
        ssize_t got = pread(fd, out, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        out += got;
        offset += (size_t)got;
        size -= (size_t)got;
    }
    return 0;
}

/* Of the piece that goes to that place: it opens there alone, and behind the one piece that it was written behind. */
static void aad_of(const kms_store_place *place, rd_buf *out)
{
    rd_buf_append_str(out, place->index == 0 ? BASE_LABEL : CHANGE_LABEL);
    rd_buf_append_u64be(out, place->generation);
    if (place->index == 0)
        return;
    rd_buf_append_u64be(out, place->index);
    rd_buf_append(out, place->base_tag, sizeof(place->base_tag));
    rd_buf_append(out, place->tag, sizeof(place->tag));
}

/* Behind a sealed piece that goes to that place; size is that of head and ciphertext. */
static kms_store_place place_behind(const kms_store_place *place, size_t size, rd_bytes sealed)
{
    kms_store_place next = *place;
    next.index++;
    next.offset += size;
    memcpy(next.tag, sealed.data + sealed.size - sizeof(next.tag), sizeof(next.tag));
    if (place->index == 0)
        memcpy(next.base_tag, next.tag, sizeof(next.base_tag));
    return next;
}

/* Reads the head at the place: nonce, and size of the ciphertext; 0 for what is none. A base says its generation. */
static size_t read_head(const kms_store *store, kms_store_place *place, uint8_t nonce[RD_AEAD_NONCE_SIZE])
{
    uint8_t head[BASE_HEAD] = { 0 };
    const bool is_base = place->index == 0;
    const uint64_t slot = place->generation & 1;
    rd_bytes bytes = rd_bytes_of(head, is_base ? BASE_HEAD : CHANGE_HEAD);
    if (read_at(store->slots[slot], place->offset, head, bytes.size) < 0)
        return 0;
    rd_cursor cursor = rd_cursor_of(bytes);
    if (is_base)
        place->generation = rd_cursor_u64be(&cursor);
    uint32_t size = rd_cursor_u32be(&cursor);
    rd_cursor_copy(&cursor, nonce, RD_AEAD_NONCE_SIZE);
    if (place->generation == 0 || (place->generation & 1) != slot || size < RD_AEAD_TAG_SIZE ||
        size > (is_base ? KMS_STATE_MAX : KMS_CHANGE_MAX) + RD_AEAD_TAG_SIZE)
        return 0;
    return size;
}

/* Appends the piece that lies at the place; false when none opens there. *ret_next is behind it, also where it does not
 * open but could lie there by its size: nowhere otherwise. */
static bool open_piece(const kms_store *store, kms_store_place *place, const uint8_t key[32], rd_buf *ret,
                       kms_store_place *ret_next)
{
    uint8_t nonce[RD_AEAD_NONCE_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf aad = { 0 };
    const size_t head = place->index == 0 ? BASE_HEAD : CHANGE_HEAD;
    const int fd = store->slots[place->generation & 1];
    *ret_next = (kms_store_place){ .generation = 0 };
    size_t size = read_head(store, place, nonce);
    if (size == 0)
        return false;
    RD_CLEANUP(rd_free_p) uint8_t *sealed = rd_alloc(size);
    if (read_at(fd, place->offset + head, sealed, size) < 0)
        return false;
    *ret_next = place_behind(place, head + size, rd_bytes_of(sealed, size));
    aad_of(place, &aad);
    return rd_aead_open(rd_bytes_of(key, 32), nonce, rd_buf_bytes(&aad), rd_bytes_of(sealed, size), ret, NULL) == 0;
}

/* Whether a piece opens at the place: then the one in front of it, whose tag it names, was durable. */
static bool has_piece(const kms_store *store, kms_store_place place, const uint8_t key[32])
{
    kms_store_place next;
    RD_CLEANUP(rd_buf_wipe) rd_buf piece = { 0 };
    return place.generation > 0 && open_piece(store, &place, key, &piece, &next);
}

static int take_changes(kms_store *store, kms_store_place place, const uint8_t key[32], kms_store_take take,
                        void *context, rd_err *err)
{
    kms_store_place next;
    for (;;) {
        RD_CLEANUP(rd_buf_wipe) rd_buf piece = { .size_max = KMS_CHANGE_MAX };
        if (!open_piece(store, &place, key, &piece, &next))
            break;
        if (take(context, place.index, rd_buf_bytes(&piece), err) < 0)
            return -1;
        place = next;
    }
    store->has_lost |= has_piece(store, next, key);
    return 0;
}

int kms_store_load(kms_store *store, const uint8_t key[32], kms_store_take take, void *context, bool *ret_found,
                   rd_err *err)
{
    rd_buf bases[2] = { { .size_max = KMS_STATE_MAX }, { .size_max = KMS_STATE_MAX } };
    kms_store_place next[2];
    uint64_t generations[2]; /* of what opens; 0: none */
    for (uint64_t i = 0; i < 2; i++) {
        kms_store_place place = { .generation = i };
        generations[i] = open_piece(store, &place, key, &bases[i], &next[i]) ? place.generation : 0;
    }
    const int newest = generations[1] > generations[0], other = !newest;
    store->next = (kms_store_place){ .generation = 0 };
    store->generation = generations[newest];
    store->has_lost =
        generations[other] == 0 && next[other].generation > store->generation && has_piece(store, next[other], key);
    *ret_found = store->generation > 0;
    int outcome = *ret_found ? take(context, 0, rd_buf_bytes(&bases[newest]), err) : 0;
    rd_buf_wipe(&bases[0]);
    rd_buf_wipe(&bases[1]);
    return outcome < 0 || !*ret_found ? outcome : take_changes(store, next[newest], key, take, context, err);
}

static int write_at(int fd, size_t offset, rd_bytes bytes)
{
    size_t done = 0;
    while (done < bytes.size) {
        ssize_t put = pwrite(fd, bytes.data + done, bytes.size - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return -1;
        done += (size_t)put;
    }
    return fdatasync(fd);
}

/* Appends head and ciphertext of what goes to the place; *ret_next is behind it. */
static int seal_piece(const kms_store_place *place, const uint8_t key[32], rd_bytes plain, rd_buf *ret,
                      kms_store_place *ret_next, rd_err *err)
{
    uint8_t nonce[RD_AEAD_NONCE_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf aad = { 0 };
    rd_random_bytes(nonce, sizeof(nonce));
    aad_of(place, &aad);
    if (place->index == 0)
        rd_buf_append_u64be(ret, place->generation);
    rd_buf_append_u32be(ret, (uint32_t)(plain.size + RD_AEAD_TAG_SIZE));
    rd_buf_append(ret, nonce, sizeof(nonce));
    if (rd_aead_seal(rd_bytes_of(key, 32), nonce, rd_buf_bytes(&aad), plain, ret, err) < 0)
        return -1;
    *ret_next = place_behind(place, ret->size, rd_buf_bytes(ret));
    return 0;
}

/* Durably. Until that is done there is no log to go on with. */
static int write_piece(kms_store *store, const kms_store_place *next, size_t offset, rd_bytes bytes, rd_err *err)
{
    store->next = (kms_store_place){ .generation = 0 };
    if (write_at(store->slots[next->generation & 1], offset, bytes) < 0)
        return rd_err_set_errno(err, RD_E_KMS_AUDIT, errno, "the state could not be kept");
    store->next = *next;
    return 0;
}

int kms_store_save(kms_store *store, const uint8_t key[32], rd_bytes state, rd_err *err)
{
    kms_store_place next, place = { .generation = store->generation + 1 };
    RD_CLEANUP(rd_buf_done) rd_buf base = { .size_max = KMS_SLOT_MAX };
    if (state.size > KMS_STATE_MAX)
        return rd_err_set(err, RD_E_KMS_AUDIT, "the state has outgrown its file");
    if (seal_piece(&place, key, state, &base, &next, err) < 0)
        return -1;
    if (write_piece(store, &next, 0, rd_buf_bytes(&base), err) < 0)
        return -1;
    store->generation = place.generation;
    store->log_end = 2 * base.size + KMS_LOG_MIN;
    return 0;
}

bool kms_store_has_room(const kms_store *store, size_t size)
{
    return store->next.generation > 0 && size <= KMS_CHANGE_MAX &&
           store->next.offset + CHANGE_HEAD + size + RD_AEAD_TAG_SIZE <= store->log_end;
}

int kms_store_append(kms_store *store, const uint8_t key[32], rd_bytes change, rd_err *err)
{
    const size_t offset = store->next.offset;
    kms_store_place next;
    RD_CLEANUP(rd_buf_done) rd_buf piece = { 0 };
    if (!kms_store_has_room(store, change.size))
        return rd_err_set(err, RD_E_KMS_AUDIT, "the log of the state has no room");
    if (seal_piece(&store->next, key, change, &piece, &next, err) < 0)
        return -1;
    return write_piece(store, &next, offset, rd_buf_bytes(&piece), err);
}

/* --- files --- */

int kms_store_read(const char *dir, const char *name, size_t size_max, rd_buf *ret, bool *ret_found, rd_err *err)
{
    RD_CLEANUP(rd_close_p) int fd = open_in(dir, name, O_RDONLY, 0);
    struct stat info;
    *ret_found = fd >= 0;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &info) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s/%s", dir, name);
    if (info.st_size < 0 || (uint64_t)info.st_size > size_max)
        return rd_err_set(err, RD_E_TOO_LARGE, "%s/%s has %lld bytes", dir, name, (long long)info.st_size);
    uint8_t *room = rd_buf_reserve(ret, (size_t)info.st_size);
    if (!room || read_at(fd, 0, room, (size_t)info.st_size) < 0)
        return rd_err_set(err, RD_E_IO, "%s/%s cannot be read", dir, name);
    rd_buf_commit(ret, (size_t)info.st_size);
    return 0;
}

static int write_beside(const char *path, unsigned mode, rd_bytes bytes)
{
    RD_CLEANUP(rd_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    return fd < 0 || write_at(fd, 0, bytes) < 0 || fsync(fd) < 0 ? -1 : 0;
}

int kms_store_write(const char *dir, const char *name, unsigned mode, rd_bytes bytes, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", dir, name);
    RD_CLEANUP(rd_free_p) char *draft = rd_asprintf("%s.tmp", path);
    RD_CLEANUP(rd_close_p) int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || write_beside(draft, mode, bytes) < 0 || rename(draft, path) < 0 || fsync(folder) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", path);
    return 0;
}

/* --- a root that came: sealed root ‖ SHA-256 of it --- */

int kms_store_open_joined(const char *dir, int *ret_fd, rd_err *err)
{
    *ret_fd = open_in(dir, KMS_FILE_JOINED, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    RD_CLEANUP(rd_close_p) int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*ret_fd < 0 || folder < 0 || fsync(folder) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s/" KMS_FILE_JOINED, dir);
    return 0;
}

int kms_store_write_joined(int fd, rd_bytes sealed, rd_err *err)
{
    uint8_t digest[RD_SHA256_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf whole = { 0 };
    rd_sha256(sealed, digest);
    rd_buf_append_bytes(&whole, sealed);
    rd_buf_append(&whole, digest, sizeof(digest));
    if (write_at(fd, 0, rd_buf_bytes(&whole)) < 0)
        return rd_err_set_errno(err, RD_E_KMS_AUDIT, errno, "the root that came could not be kept");
    return 0;
}

int kms_store_read_joined(const char *dir, rd_buf *ret, bool *ret_there, rd_err *err)
{
    bool has_file = false;
    uint8_t digest[RD_SHA256_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf whole = { 0 };
    *ret_there = false;
    if (kms_store_read(dir, KMS_FILE_JOINED, KMS_ROOT_FILE_MAX, &whole, &has_file, err) < 0)
        return -1;
    if (!has_file || whole.size <= sizeof(digest))
        return 0;
    rd_bytes sealed = rd_bytes_of(whole.data, whole.size - sizeof(digest));
    rd_sha256(sealed, digest);
    *ret_there = memcmp(digest, sealed.data + sealed.size, sizeof(digest)) == 0;
    if (*ret_there && !rd_buf_append_bytes(ret, sealed))
        return rd_err_set(err, RD_E_TOO_LARGE, "%s/" KMS_FILE_JOINED, dir);
    return 0;
}

int kms_store_adopt_joined(const char *dir, rd_bytes sealed, rd_err *err)
{
    return kms_store_write(dir, KMS_FILE_ROOT, 0600, sealed, err) < 0 ? -1 : kms_store_drop_joined(dir, err);
}

int kms_store_drop_joined(const char *dir, rd_err *err)
{
    RD_CLEANUP(rd_close_p) int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || unlinkat(folder, KMS_FILE_JOINED, 0) < 0 || fsync(folder) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s/" KMS_FILE_JOINED, dir);
    return 0;
}
