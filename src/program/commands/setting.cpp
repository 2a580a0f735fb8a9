// posthorn setting: a parameter explained, and what of the configuration's files is not in force yet.
#include "commands/command.hpp"
#include "commands/setting_text.hpp"

#include "base/strings.hpp"
#include "catalogue/catalogue.hpp"
#include "inquiry/configuration.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <string_view>

namespace posthorn::commands {

namespace {

constexpr const char* setting_usage = "usage: posthorn setting [-c config_dir] [--json] NAME... | --pending";

struct SettingWords {
    std::optional<std::string> directory;
    std::vector<std::string> names;
    bool pending = false, json = false;
};

SettingWords setting_words(std::span<char*> args)
{
    SettingWords words;
    for (std::size_t at = 1; at < args.size(); ++at) {
        const std::string_view word = args[at];
        if (word == "-c")
            words.directory = operand_of(args, at, setting_usage);
        else if (word == "--json")
            words.json = true;
        else if (word == "--pending")
            words.pending = true;
        else if (!word.starts_with('-'))
            words.names.emplace_back(word);
        else
            throw Failure(setting_usage, submit::exit_usage);
    }
    if (words.pending != words.names.empty())
        throw Failure(setting_usage, submit::exit_usage);
    return words;
}

void print_out(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

/// As of diff: 0 all is in force, 1 something is not.
int show_pending(const inquiry::InForce& in_force, const config::Snapshot& written, const config::MasterCf& master_cf, bool json)
{
    const auto changes = inquiry::pending_changes(in_force, written, master_cf);
    std::string text;
    if (json)
        for (const inquiry::Pending& change : changes)
            text += inquiry::pending_json(change) + "\n";
    else
        text = changes.empty() ? "What is written is in force.\n" : inquiry::pending_text(changes);
    print_out(text);
    return changes.empty() ? 0 : 1;
}

int show_settings(const SettingAsked& asked, const SettingWords& words)
{
    int status = 0;
    std::string text;
    for (const std::string& name : words.names) {
        const auto found = setting(asked, name);
        if (found) {
            text += words.json ? setting_json(*found, asked) + "\n" : (text.empty() ? "" : "\n") + setting_text(*found, asked);
            continue;
        }
        const auto like = names_like(asked.written, name);
        fmt::print(stderr, "posthorn setting: {}: no parameter has this name{}{}\n", printable(name, true), like.empty() ? "" : "; there are ",
                   fmt::join(like, ", "));
        status = 1;
    }
    print_out(text);
    return status;
}

int run_setting(std::span<char*> args)
{
    const SettingWords words = setting_words(args);
    const config::Snapshot written = load_config("posthorn", words.directory, catalogue::all_parameters());
    const auto master_cf = config::read_master_cf(written.config_directory() + "/master.cf");
    if (!master_cf)
        throw Failure(master_cf.error().text(), submit::exit_config);
    const auto in_force = inquiry::configuration_in_force(written);
    if (words.pending) {
        if (!in_force)
            throw Failure(in_force.error().text(), submit::exit_unavailable);
        return show_pending(*in_force, written, *master_cf, words.json);
    }
    std::string trouble;
    if (!in_force)
        trouble = in_force.error().status() == "4.3.0" ? "nothing: " + in_force.error().what() : "not known: " + in_force.error().text();
    return show_settings({written, *master_cf, in_force ? &*in_force : nullptr, trouble}, words);
}

}  // namespace

int setting(std::span<char*> args) { return guarded("posthorn setting", run_setting, args); }

}  // namespace posthorn::commands
