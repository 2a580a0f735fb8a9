// posthorn trials: what stricter settings would have refused, and let pass (docs/trials.md).
#include "base/clock.hpp"
#include "commands/command.hpp"
#include "inquiry/change_listing.hpp"
#include "inquiry/trial_listing.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <string_view>

namespace posthorn::commands {

namespace {

using handoff::TrialsCommand;

constexpr const char* trials_usage =
    "usage: posthorn trials [-c config_dir] [--in | --out] [--since TIME] [--json] [WORD...] | posthorn trials forget";

int run_trials(std::span<char*> args)
{
    std::optional<std::string> directory;
    TrialsCommand command;
    bool json = false, narrowed = false;
    for (std::size_t at = 1; at < args.size(); ++at) {
        const std::string_view word = args[at];
        if (word == "-c")
            directory = operand_of(args, at, trials_usage);
        else if (word == "--json")
            json = true;
        else if ((word == "--in" || word == "--out") && command.direction() == TrialsCommand::BOTH)
            command.set_direction(word == "--in" ? TrialsCommand::IN : TrialsCommand::OUT);
        else if (word == "--since") {
            const auto since = inquiry::since_of(operand_of(args, at, trials_usage), SystemClock().wall());
            if (!since)
                throw Failure("--since: " + since.error().what(), submit::exit_usage);
            command.set_since(since->time_since_epoch().count());
        } else if (!word.empty() && !word.starts_with('-'))
            command.add_words(std::string(word));
        else
            throw Failure(trials_usage, submit::exit_usage);
    }
    narrowed = command.direction() != TrialsCommand::BOTH || command.since() != 0 || command.words_size() > 0;
    const bool forgets =
        command.words_size() == 1 && command.words(0) == "forget" && command.direction() == TrialsCommand::BOTH && command.since() == 0;
    if (forgets) {
        command.clear_words();
        command.set_verb(TrialsCommand::FORGET);
    }
    const config::Snapshot snapshot = load_config("posthorn", directory);
    reserved_for_owner(snapshot);
    const auto told = inquiry::ask_trials(snapshot, std::move(command));
    if (!told)
        throw Failure(told.error().text(), told.error().status() == "4.3.0" ? submit::exit_unavailable : 1);
    std::string text;
    for (const handoff::Trial& trial : told->trials())
        text += json ? inquiry::trial_json(trial) + "\n" : inquiry::trial_text(trial);
    if (text.empty() && !json && !forgets)
        text =
            narrowed
                ? "Nothing of that was judged.\n"
                : "Nothing was judged. No restriction stands behind warn_if_reject, smtp_tls_trial_level and smtp_tls_trial_maps are empty or not above\n"
                  "what holds, or no mail has come since.\n";
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
}

}  // namespace

int trials(std::span<char*> args) { return guarded("posthorn trials", run_trials, args); }

}  // namespace posthorn::commands
