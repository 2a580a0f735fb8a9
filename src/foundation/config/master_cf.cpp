#include "config/master_cf.hpp"

#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/strings.hpp"
#include "config/list.hpp"
#include "config/logical_lines.hpp"
#include "config/master_entry.hpp"
#include "config/units.hpp"

namespace posthorn::config {

namespace {

constexpr std::array<std::pair<std::string_view, Transport>, 5> transports{{{"inet", Transport::inet},
                                                                            {"unix", Transport::unix_stream},
                                                                            {"fifo", Transport::fifo},
                                                                            {"pass", Transport::pass},
                                                                            {"unix-dgram", Transport::unix_dgram}}};

Error bad_value(std::size_t field, std::string_view text)
{
    return Error{fmt::format("field \"{}\": bad value: \"{}\"", master_field_names[field], text)};
}

Result<bool> yes_or_no(const ServiceLine& service, std::size_t field, bool by_default)
{
    const auto& text = service.columns[field];
    if (text == "-")
        return by_default;
    if (text == "y")
        return true;
    if (text == "n")
        return false;
    return bad_value(field, text);
}

std::optional<int> small_number(std::string_view text)
{
    const auto number = parse_number(text);
    return number && *number <= std::numeric_limits<int>::max() ? std::optional{static_cast<int>(*number)} : std::nullopt;
}

Result<bool> interpret_options(ServiceLine& service)
{
    // A daemon's own getopt rules: options come first, "-o name=value" or "-oname=value"; the first other word ends them.
    const auto& words = service.arguments;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string_view word = words[i];
        if (!word.starts_with('-') || word == "-" || word.starts_with("--"))
            break;
        for (std::size_t letter = 1; letter < word.size(); ++letter) {
            if (word[letter] == 'v')
                ++service.verbose;
            if (word[letter] == 'D')
                service.debug = true;
            if (word[letter] != 'o')
                continue;
            auto text = word.substr(letter + 1);
            if (text.empty()) {
                if (++i == words.size())
                    return Error{"option requires an argument: -o"};
                text = words[i];
            }
            if (text.size() > 1 && text.starts_with('{') && text.ends_with('}'))      // "-o{a = b}": one word still in braces
                text = text.substr(1, text.size() - 2);
            auto assignment = parse_assignment(text);
            if (!assignment)
                return Error{fmt::format("invalid \"-o {}\" option value: {}", text, assignment.error().what())};
            service.overrides.push_back(std::move(*assignment));
            break;
        }
    }
    return true;
}

Result<ServiceLine> interpret(std::string_view text)
{
    ServiceLine service;
    auto rest = text;
    for (std::size_t field = 0; field < service.columns.size(); ++field) {
        const auto start = rest.find_first_not_of(master_blanks);
        if (start == rest.npos)
            return Error{fmt::format("missing \"{}\" field", master_field_names[field])};
        rest.remove_prefix(start);
        const auto word = rest.substr(0, rest.find_first_of(master_blanks));
        service.columns[field] = word;
        rest.remove_prefix(word.size());
    }
    service.name = service.columns[0];
    bool known_type = false;
    for (const auto& [name, type] : transports) {
        if (service.columns[1] == name) {
            service.type = type;
            known_type = true;
        }
    }
    if (!known_type)
        return bad_value(1, service.columns[1]);
    TRY(service.is_private, yes_or_no(service, 2, true));
    if (service.type == Transport::inet && service.is_private)
        return bad_value(2, service.columns[2]);   // an inet socket cannot be hidden in a directory
    TRY(service.unprivileged, yes_or_no(service, 3, true));
    service.chroot_by_default = service.columns[4] == "-";
    TRY(service.chroot, yes_or_no(service, 4, false));
    if (std::string_view wakeup = service.columns[5]; wakeup != "-") {
        if (wakeup.ends_with('?')) {
            service.wakeup_only_if_used = true;
            wakeup.remove_suffix(1);
        }
        const auto seconds = small_number(wakeup);
        if (!seconds)
            return bad_value(5, service.columns[5]);
        service.wakeup = *seconds;
    }
    if (service.columns[6] != "-") {
        service.process_limit = small_number(service.columns[6]);
        if (!service.process_limit)
            return bad_value(6, service.columns[6]);
    }
    service.command = service.columns[7];
    TRY(service.arguments, split_arguments(rest));
    TRY_VOID(interpret_options(service));
    return service;
}

}  // namespace

std::string_view to_text(Transport type)
{
    for (const auto& [name, value] : transports)
        if (value == type)
            return name;
    return {};
}

std::string ServiceLine::key() const { return fmt::format("{}/{}", name, to_text(type)); }

std::string ServiceLine::text() const
{
    std::string written = fmt::format("{}", fmt::join(columns, " "));
    for (const std::string& word : arguments)
        written += word.empty() || word.find_first_of(master_blanks) != word.npos ? " {" + word + "}" : " " + word;
    return written;
}

Result<std::vector<std::string>> split_arguments(std::string_view text)
{
    std::vector<std::string> words;
    for (const auto word : split_grouped(text, master_blanks)) {
        if (!word.starts_with('{')) {
            words.emplace_back(word);
            continue;
        }
        std::size_t end = 0;
        for (int depth = 0; end < word.size(); ++end) {
            if (word[end] == '{')
                ++depth;
            else if (word[end] == '}' && --depth == 0)
                break;
        }
        if (end == word.size())
            return Error{fmt::format("missing '}}' in \"{}\"", word)};
        if (end + 1 != word.size())
            return Error{fmt::format("syntax error after '}}' in \"{}\"", word)};
        words.emplace_back(trim(word.substr(1, end - 1)));
    }
    return words;
}

Result<MasterCf> parse_master_cf(std::string_view text, std::string_view path)
{
    MasterCf result{std::string{path}, {}, {}};
    for (const auto& line : logical_lines(text)) {
        if (is_space(line.text.front())) {
            result.warnings.push_back(
                fmt::format("{}: logical line must not start with whitespace: \"{:.30}{}\"", path, line.text, line.text.size() > 30 ? "..." : ""));
            continue;
        }
        auto service = interpret(line.text);
        if (!service)
            return Error{fmt::format("{}: line {}: {}", path, line.line, service.error().what())};
        service->line = line.line;
        service->last_line = line.last_line;
        for (auto& assignment : service->overrides)
            assignment.line = line.line;
        for (auto& earlier : result.services) {
            if (earlier.name == service->name && earlier.type == service->type) {
                result.warnings.push_back(
                    fmt::format("duplicate master.cf entry for service \"{}\" ({}) -- using the last entry", service->name, to_text(service->type)));
                std::erase_if(result.services, [&](const auto& other) { return &other == &earlier; });
                break;
            }
        }
        result.services.push_back(std::move(*service));
    }
    return result;
}

Result<MasterCf> read_master_cf(const std::string& path)
{
    TRY(const auto text, read_file(path));
    return parse_master_cf(text, path);
}

}  // namespace posthorn::config
