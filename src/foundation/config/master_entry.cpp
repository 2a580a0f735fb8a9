#include "config/master_entry.hpp"

#include <fmt/format.h>

#include "base/strings.hpp"
#include "config/list.hpp"
#include "config/main_cf.hpp"
#include "config/master_cf.hpp"

namespace posthorn::config {

namespace {

/// "{ a = b c }" as "a=b c", "a=b" as it is; what is not one stays, with a warning.
std::string plain_override(std::string_view text, std::vector<std::string>& warnings)
{
    if (!text.starts_with('{'))
        return std::string{text};
    const auto inner = split_arguments(text);
    if (!inner) {
        warnings.push_back(fmt::format("master.cf: {}", inner.error().what()));
        auto rest = text.substr(1);
        if (const auto close = rest.rfind('}'); close != rest.npos)
            rest = rest.substr(0, close);
        const auto assignment = parse_assignment(rest);
        return assignment ? fmt::format("{}={}", assignment->name, assignment->value) : std::string{trim(rest)};
    }
    const auto assignment = parse_assignment(inner->empty() ? std::string_view{} : std::string_view{inner->front()});
    if (!assignment) {
        const bool nothing = inner->empty() || inner->front().empty();
        warnings.push_back(fmt::format("master.cf: {}", nothing ? "missing attribute name: \"\"" : assignment.error().what()));
        return nothing ? std::string{} : inner->front();
    }
    return fmt::format("{}={}", assignment->name, assignment->value);
}

/// An operand of -o as it is written: in braces where it has white space.
std::string written_override(std::string_view text)
{
#ifdef POSTHORN_PLANT_BUG_master_cf  // a tab needs no braces (scripts/fuzz-planted)
    return text.find(' ') == text.npos ? std::string{text} : fmt::format("{{{}}}", text);
#endif
    return text.find_first_of(master_blanks) == text.npos ? std::string{text} : fmt::format("{{{}}}", text);
}

/// The arguments as words to write: an option and its operand are two words.
std::vector<std::string> words_of(const MasterEntry& entry)
{
    std::vector<std::string> words;
    for (std::size_t i = 0; i < entry.command.size(); ++i) {
        const bool operand = i > 1 && i < entry.options && entry.command[i - 1] == "-o";
        words.push_back(operand ? written_override(entry.command[i]) : entry.command[i]);
    }
    return words;
}

}  // namespace

Result<bool> check_master_field(std::size_t field, std::string_view text, std::string_view line)
{
    const auto invalid = [&] { return Error{fmt::format("invalid {} field \"{}\" in \"{}\"", master_field_names[field], text, line)}; };
    if (field == 1) {
        for (const auto type : {"inet", "unix", "fifo", "pass", "unix-dgram"})
            if (text == type)
                return true;
        return invalid();
    }
    if (field >= 2 && field <= 4)
        return text == "y" || text == "n" || text == "-" ? Result<bool>{true} : Result<bool>{invalid()};
    if (field == 5 || field == 6) {
        auto digits = text;
        if (field == 5 && digits.ends_with('?'))
            digits.remove_suffix(1);
        return text == "-" || parse_number(digits) ? Result<bool>{true} : Result<bool>{invalid()};
    }
    return true;
}

Result<bool> parse_command(MasterEntry& entry, std::string_view text, std::vector<std::string>& warnings)
{
    const auto words = split_grouped(text, master_blanks);
    if (words.empty())
        return Error{"bad field count"};
    entry.command.assign(1, std::string{words[0]});
    std::size_t at = 1;
    for (; at < words.size() && words[at].starts_with('-') && !words[at].starts_with("--"); ++at) {
        const auto word = words[at];
        const auto o = word.find('o', 1);
        if (o == word.npos) {
            entry.command.emplace_back(word);
            continue;
        }
        if (o > 1)
            entry.command.emplace_back(word.substr(0, o));
        entry.command.emplace_back("-o");
        auto operand = word.substr(o + 1);
        if (operand.empty() && at + 1 < words.size())
            operand = words[++at];
        if (!operand.empty())
            entry.command.push_back(plain_override(operand, warnings));
    }
    entry.options = entry.command.size();
    for (; at < words.size(); ++at) {
        const auto word = words[at];
        const bool braced = word.size() >= 2 && word.starts_with('{') && word.ends_with('}');
        entry.command.push_back(braced ? fmt::format("{{{}}}", trim(word.substr(1, word.size() - 2))) : std::string{word});
    }
    return true;
}

Result<MasterEntry> parse_master_entry(std::string_view text, std::vector<std::string>& warnings)
{
    MasterEntry entry;
    auto rest = text;
    for (auto& column : entry.columns) {
        const auto start = rest.find_first_not_of(master_blanks);
        if (start == rest.npos)
            return Error{"bad field count"};
        rest.remove_prefix(start);
        column = rest.substr(0, rest.find_first_of(master_blanks));
        rest.remove_prefix(column.size());
    }
    if (trim(rest).empty())
        return Error{"bad field count"};
    for (std::size_t field = 1; field < entry.columns.size(); ++field)
        TRY_VOID(check_master_field(field, entry.columns[field], text));
    TRY_VOID(parse_command(entry, rest, warnings));
    return entry;
}

std::vector<std::size_t> MasterEntry::overrides() const
{
    std::vector<std::size_t> indexes;
    for (std::size_t i = 2; i < options; ++i)
        if (command[i - 1] == "-o" && command[i].contains('='))
            indexes.push_back(i++);
    return indexes;
}

namespace {
bool is_override_of(std::string_view text, std::string_view name) { return trim(text.substr(0, text.find('='))) == name; }
}  // namespace

void MasterEntry::set_override(std::string_view name, std::string_view value)
{
    auto text = fmt::format("{}={}", name, value);
    bool found = false;
    for (const auto i : overrides()) {
        if (is_override_of(command[i], name)) {
            command[i] = text;
            found = true;
        }
    }
    if (found)
        return;
    const auto end = command.begin() + static_cast<std::ptrdiff_t>(options);
    command.insert(end, {"-o", std::move(text)});
    options += 2;
}

void MasterEntry::remove_override(std::string_view name)
{
    auto indexes = overrides();
    for (auto i = indexes.rbegin(); i != indexes.rend(); ++i) {
        if (!is_override_of(command[*i], name))
            continue;
        const auto at = command.begin() + static_cast<std::ptrdiff_t>(*i);
        command.erase(at - 1, at + 1);
        options -= 2;
    }
}

std::string MasterEntry::command_text() const { return fmt::format("{}", fmt::join(words_of(*this), " ")); }

std::string print_master_entry(const MasterEntry& entry, bool fold)
{
    static constexpr std::array<std::size_t, 8> starts{0, 11, 17, 25, 33, 41, 49, 57};
    std::string line;
    for (std::size_t i = 0; i < entry.columns.size(); ++i) {
        line += entry.columns[i];
        line += ' ';
        if (line.size() < starts[i + 1])
            line.resize(starts[i + 1], ' ');
    }
    return fold ? entry.folded_command(std::move(line)) : line + entry.command_text();
}

std::string MasterEntry::folded_command(std::string line) const
{
    const auto words = words_of(*this);
    std::string text;
    line += words[0];
    bool after_override = false;
    for (std::size_t i = 1; i < words.size(); ++i) {
        const bool override_ = i < options && words[i] == "-o" && i + 1 < options;
        const auto word = override_ ? fmt::format("-o {}", words[i + 1]) : words[i];
        if (override_ || after_override || (line.size() > 3 && line.size() + 1 + word.size() >= fold_width)) {
            text += line;
            text += '\n';
            line = "   ";
        }
        line += ' ';
        line += word;
        after_override = override_;
        i += override_ ? 1 : 0;
    }
    return text + line;
}

}  // namespace posthorn::config
