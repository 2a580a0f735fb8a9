// master.cf. An entry that was read and is printed, on one line or folded, reads the same; so do the services made of it.
#include "fuzz.hpp"

#include <vector>

#include "config/logical_lines.hpp"
#include "config/master_cf.hpp"
#include "config/master_entry.hpp"

namespace posthorn::fuzz {

using namespace posthorn::config;

namespace {

bool closes(std::string_view word)
{
    int depth = 0;
    for (const char c : word) {
        depth += c == '{' ? 1 : c == '}' ? -1 : 0;
        if (depth < 0)
            return false;
    }
    return depth == 0;
}

}  // namespace

void fuzz_one(std::string_view input)
{
    const auto file = parse_master_cf(input, "master.cf");
    if (!file)
        FUZZ_CHECK(file.error().what().starts_with("master.cf: line "));
    for (const auto& line : logical_lines(input)) {
        std::vector<std::string> warnings;
        auto entry = parse_master_entry(line.text, warnings);
        // A word with a brace that does not close has no form that keeps its blanks together.
        if (!entry || !warnings.empty() || !std::ranges::all_of(entry->command, closes))
            continue;
        const bool plain_names = std::ranges::all_of(entry->overrides(), [&](std::size_t at) {
            const std::string_view text = entry->command[at];
            return text.substr(0, text.find('=')).find_first_of("{} \t\r") == text.npos;
        });
        if (!plain_names)                         // "-o a{ =b}" is no name; in braces its blanks would go
            continue;
        for (const bool fold : {false, true}) {
            const auto text = print_master_entry(*entry, fold);
            const auto lines = logical_lines(text);
            if (lines.size() != 1 || text.front() == '#')     // a name that begins with '#', a word that does so on a folded line
                continue;
            const auto back = parse_master_entry(lines[0].text, warnings);
            FUZZ_CHECK(back.has_value());
            FUZZ_CHECK(back->columns == entry->columns);
            FUZZ_CHECK(back->overrides().size() == entry->overrides().size());
            for (std::size_t i = 0; i < back->overrides().size(); ++i)
                FUZZ_CHECK(back->command[back->overrides()[i]] == entry->command[entry->overrides()[i]]);
        }
        entry->set_override("fresh", "1");
        entry->remove_override("fresh");
        FUZZ_CHECK(entry->command_text().find("fresh=1") == std::string::npos || input.find("fresh=1") != input.npos);
    }
    if (!file)
        return;
    for (const auto& service : file->services) {
        FUZZ_CHECK(!service.name.empty() && !service.command.empty() && service.line <= service.last_line);
        for (const auto& assignment : service.overrides)
            FUZZ_CHECK(!assignment.name.empty());
    }
}

}  // namespace posthorn::fuzz
