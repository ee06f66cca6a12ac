#include "cli/cmd.h"

#include "cli/client.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each shell asks `redoubt complete-words WORD…` for the candidates, so that all three stay in step with the table. */
static const char bash_script[] = "_redoubt() {\n"
                                  "    local IFS=$'\\n'\n"
                                  "    COMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" complete-words -- "
                                  "\"${COMP_WORDS[@]:1:COMP_CWORD-1}\" 2>/dev/null)\""
                                  " -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
                                  "}\n"
                                  "complete -o default -F _redoubt redoubt\n";
static const char zsh_script[] =
    "#compdef redoubt\n"
    "_redoubt() {\n"
    "    local -a words_found\n"
    "    words_found=(${(f)\"$(${words[1]} complete-words -- ${words[2,CURRENT-1]} 2>/dev/null)\"})\n"
    "    compadd -a words_found || _files\n"
    "}\n"
    "compdef _redoubt redoubt\n";
static const char fish_script[] =
    "complete -c redoubt -f -a '(redoubt complete-words -- (commandline -opc)[2..-1] 2>/dev/null)'\n";

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

static int run_words(cli_context *context, const cli_args *args, rd_err *err RD_UNUSED)
{
    rd_buf prefix;
    rd_buf_init(&prefix, 4096);
    for (size_t i = 0; i < args->positional_count; i++)
        (void)rd_buf_printf(&prefix, "%s ", args->positional[i]);
    const char *words = rd_buf_text(&prefix);
    if (print_verbs(words) == 0) {
        static const char *const with_app[] = { "invoke ",    "verify ",      "logs ",
                                                "apps show ", "apps delete ", "deployments list " };
        static const char *const with_host[] = { "hosts show ", "hosts drain ", "hosts undrain " };
        for (size_t i = 0; i < RD_ARRAY_LEN(with_app); i++)
            if (strcmp(words, with_app[i]) == 0)
                print_names(context, "/v1/apps", "name");
        for (size_t i = 0; i < RD_ARRAY_LEN(with_host); i++)
            if (strcmp(words, with_host[i]) == 0)
                print_names(context, "/v1/hosts", "id");
    }
    rd_buf_done(&prefix);
    return 0;
}

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
      .run = run_words,
      .is_hidden = true },
    { .name = NULL },
};
