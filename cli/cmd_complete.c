#include "cli/cmd.h"

#include "cli/client.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each shell asks `redoubt complete-words WORD…` for the candidates, so that all three stay in step with the table. */
static const char bash_script[] =
    "_redoubt() {\n"
    "    local IFS=$'\\n' current=\"${COMP_WORDS[COMP_CWORD]}\"\n"
    "    COMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" complete-words --current \"$current\" -- "
    "\"${COMP_WORDS[@]:1:COMP_CWORD-1}\" 2>/dev/null)\" -- \"$current\"))\n"
    "}\n"
    "complete -o default -F _redoubt redoubt\n";
static const char zsh_script[] =
    "#compdef redoubt\n"
    "_redoubt() {\n"
    "    local -a words_found\n"
    "    words_found=(${(f)\"$(${words[1]} complete-words --current \"${words[CURRENT]}\" -- ${words[2,CURRENT-1]} "
    "2>/dev/null)\"})\n"
    "    compadd -a words_found || _files\n"
    "}\n"
    "if [ \"$funcstack[1]\" = _redoubt ]; then _redoubt; else compdef _redoubt redoubt; fi\n";
static const char fish_script[] =
    "function __redoubt_words\n"
    "    set -l found (redoubt complete-words --current (commandline -ct) -- (commandline -opc)[2..-1] 2>/dev/null)\n"
    "    if test (count $found) -gt 0\n"
    "        printf '%s\\n' $found\n"
    "    else\n"
    "        __fish_complete_path (commandline -ct)\n"
    "    end\n"
    "end\n"
    "complete -c redoubt -f -a '(__redoubt_words)'\n";

static int run_completion(cli_context *context RD_UNUSED, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "bash|zsh|fish", err) < 0)
        return -1;
    static const struct {
        const char *shell;
        const char *script;
    } scripts[] = { { "bash", bash_script }, { "zsh", zsh_script }, { "fish", fish_script } };
    for (size_t i = 0; i < RD_ARRAY_LEN(scripts); i++) {
        if (strcmp(args->positional[0], scripts[i].shell) == 0) {
            (void)fputs(scripts[i].script, stdout);
            return 0;
        }
    }
    return rd_err_set(err, RD_E_USAGE, "bash, zsh or fish, not %s", args->positional[0]);
}

/* The next word of every verb whose words so far are these. */
static size_t print_verbs(const char *prefix)
{
    size_t prefix_size = strlen(prefix);
    const char *last = "";
    size_t last_size = 0;
    size_t count = 0;
    for (const cli_command *const *list = cli_all_commands; *list; list++) {
        for (const cli_command *command = *list; command->name; command++) {
            if (command->is_hidden || strncmp(command->name, prefix, prefix_size) != 0)
                continue;
            const char *word = command->name + prefix_size;
            size_t size = strcspn(word, " ");
            if (size == 0 || (size == last_size && strncmp(word, last, size) == 0))
                continue;
            (void)printf("%.*s\n", (int)size, word);
            last = word;
            last_size = size;
            count++;
        }
    }
    return count;
}

static void print_names(cli_context *context, const char *path, const char *member)
{
    rd_err err = RD_ERR_INIT;
    cli_client *client = cli_context_client(context, &err);
    json_t *items = NULL;
    if (!client || cli_client_list(client, path, 200, &items, &err) < 0)
        return;
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        const char *text = json_string_value(json_object_get(item, member));
        if (text)
            (void)puts(text);
    }
    json_decref(items);
}

/* The verb that words (each with a space behind it) begin with. */
static const cli_command *verb_of(const char *words)
{
    for (const cli_command *const *list = cli_all_commands; *list; list++) {
        for (const cli_command *command = *list; command->name; command++) {
            size_t size = strlen(command->name);
            if (strncmp(command->name, words, size) == 0 && words[size] == ' ')
                return command;
        }
    }
    return NULL;
}

static void print_flags(const cli_flag *flags)
{
    for (; flags && flags->name; flags++)
        (void)printf("--%s\n", flags->name);
}

/* What a verb's first argument names decides what the plane is asked for. */
static void print_arguments(cli_context *context, const char *words)
{
    static const struct {
        const char *argument, *path, *member;
    } rows[] = {
        { "APP", "/v1/apps", "name" },
        { "HOST", "/v1/hosts", "id" },
        { "TOKEN", "/v1/tokens", "id" },
    };
    const cli_command *verb = verb_of(words);
    if (!verb || strlen(words) != strlen(verb->name) + 1)
        return;
    const char *argument = verb->arguments + (verb->arguments[0] == '[');
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        size_t size = strlen(rows[i].argument);
        if (strncmp(argument, rows[i].argument, size) == 0 && (argument[size] < 'A' || argument[size] > 'Z'))
            print_names(context, rows[i].path, rows[i].member);
    }
}

static int run_words(cli_context *context, const cli_args *args, rd_err *err RD_UNUSED)
{
    const char *current = cli_args_value(args, "current");
    rd_buf words;
    rd_buf_init(&words, 4096);
    for (size_t i = 0; i < args->positional_count; i++)
        if (args->positional[i][0] != '-') /* flags that were given say nothing about what comes next */
            (void)rd_buf_printf(&words, "%s ", args->positional[i]);
    const char *text = rd_buf_text(&words);
    const cli_command *verb = verb_of(text);
    if (current && current[0] == '-' && verb) {
        print_flags(verb->flags);
        print_flags(cli_global_flags);
    } else if (print_verbs(text) == 0) {
        print_arguments(context, text);
    }
    rd_buf_done(&words);
    return 0;
}

static const cli_flag words_flags[] = {
    { "current", 0, "WORD", "the word being typed" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_complete_commands[] = {
    { .name = "completion",
      .purpose = "a script that completes verbs and live names",
      .arguments = "bash|zsh|fish",
      .examples =
          "source <(redoubt completion bash)\nredoubt completion fish > ~/.config/fish/completions/redoubt.fish",
      .run = run_completion },
    { .name = "complete-words",
      .purpose = "candidates for the next word",
      .arguments = "WORD…",
      .examples = "",
      .flags = words_flags,
      .run = run_words,
      .is_hidden = true },
    { .name = NULL },
};
