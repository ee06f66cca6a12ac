#include "cli/manifest.h"

#include "cli/profile.h"
#include "common/base/mem.h"
#include "common/model/code_bundle.h"

#include <stdlib.h>
#include <string.h>

/* Joins a module's folder and a relative import, without leaving the root. NULL when it would. */
static char *normalise(const char *from, const char *import)
{
    const char *slash = strrchr(from, '/');
    RD_CLEANUP(rd_free_p)
    char *joined = slash ? rd_asprintf("%.*s/%s", (int)(slash - from), from, import) : rd_strdup(import);
    char *parts[64];
    size_t count = 0;
    char *saved = NULL;
    for (char *part = strtok_r(joined, "/", &saved); part; part = strtok_r(NULL, "/", &saved)) {
        if (strcmp(part, ".") == 0)
            continue;
        if (strcmp(part, "..") == 0) {
            if (count == 0)
                return NULL;
            count--;
            continue;
        }
        if (count == RD_ARRAY_LEN(parts))
            return NULL;
        parts[count++] = part;
    }
    rd_buf out;
    rd_buf_init(&out, 4096);
    for (size_t i = 0; i < count; i++)
        (void)rd_buf_printf(&out, "%s%s", i ? "/" : "", parts[i]);
    char *path = rd_strdup(rd_buf_text(&out));
    rd_buf_done(&out);
    return path;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
}

/* Skips a comment that starts at text; the same pointer when there is none. */
static const char *skip_comment(const char *text)
{
    if (text[0] == '/' && text[1] == '/')
        return text + strcspn(text, "\n");
    if (text[0] == '/' && text[1] == '*') {
        const char *end = strstr(text + 2, "*/");
        return end ? end + 2 : text + strlen(text);
    }
    return text;
}

static const char *skip_space(const char *text)
{
    for (;;) {
        const char *next = skip_comment(text + strspn(text, " \t\r\n"));
        if (next == text)
            return text;
        text = next;
    }
}

/* After the word `from` or `import`: the quoted specifier, or NULL. */
static char *specifier_after(const char *text)
{
    text = skip_space(text);
    if (*text == '(')
        text = skip_space(text + 1);
    if (*text != '"' && *text != '\'')
        return NULL;
    const char *end = strchr(text + 1, *text);
    return end && end - text < 512 ? rd_strndup(text + 1, (size_t)(end - text - 1)) : NULL;
}

/* The next relative import at or after *at; NULL at the end. An over-eager match only adds a file that exists. */
static char *next_import(const char **at)
{
    for (const char *text = *at; *text;) {
        const char *after = skip_comment(text);
        if (after != text) {
            text = after;
            continue;
        }
        size_t size = strncmp(text, "import", 6) == 0 ? 6 : strncmp(text, "from", 4) == 0 ? 4 : 0;
        if (size && (text == *at || !is_word(text[-1])) && !is_word(text[size])) {
            char *specifier = specifier_after(text + size);
            if (specifier && specifier[0] == '.') {
                *at = text + size;
                return specifier;
            }
            free(specifier);
        }
        text++;
    }
    return NULL;
}

static int add_module(const cli_manifest *manifest, rd_code_bundle *bundle, const char *name, rd_err *err)
{
    if (rd_code_bundle_find(bundle, name))
        return 0;
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", manifest->dir, name);
    RD_CLEANUP(rd_free_p) uint8_t *source = NULL;
    size_t size;
    if (cli_read_file(path, RD_CODE_BUNDLE_SIZE_MAX, &source, &size, err) < 0)
        return -1;
    return rd_code_bundle_add(bundle, name, rd_bytes_of(source, size), err);
}

static int add_imports(const cli_manifest *manifest, rd_code_bundle *bundle, size_t index, rd_err *err)
{
    const char *at = bundle->modules[index].source;
    for (char *specifier; (specifier = next_import(&at));) {
        RD_CLEANUP(rd_free_p) char *import = specifier;
        RD_CLEANUP(rd_free_p) char *name = normalise(bundle->modules[index].name, import);
        if (!name)
            return rd_err_set(err, RD_E_CLI_MANIFEST, "%s imports %s, which lies outside %s",
                              bundle->modules[index].name, import, manifest->dir);
        if (add_module(manifest, bundle, name, err) < 0)
            return rd_err_wrap(err, "%s imports %s", bundle->modules[index].name, import);
    }
    return 0;
}

int cli_bundle_collect(const cli_manifest *manifest, rd_buf *ret_bundle, rd_err *err)
{
    rd_code_bundle bundle = { .main = NULL };
    RD_CLEANUP(rd_free_p) char *main_name = normalise("", manifest->main);
    int status = main_name
                     ? add_module(manifest, &bundle, main_name, err)
                     : rd_err_set(err, RD_E_CLI_MANIFEST, "main %s lies outside %s", manifest->main, manifest->dir);
    for (size_t i = 0; status == 0 && i < bundle.modules_count; i++)
        status = add_imports(manifest, &bundle, i, err);
    bundle.main = RD_TAKE(main_name);
    if (status == 0)
        status = rd_code_bundle_encode(&bundle, ret_bundle, err);
    rd_code_bundle_done(&bundle);
    return status;
}
