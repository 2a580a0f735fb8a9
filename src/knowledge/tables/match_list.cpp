#include "tables/match_list.hpp"

#include "base/strings.hpp"
#include "tables/keys.hpp"
#include "tables/source.hpp"

#include <fmt/format.h>

namespace posthorn::tables {

namespace {
/// Files may name files, this deep.
constexpr int max_depth = 10;
}  // namespace

MatchList::MatchList(ListKind kind, std::string parameter, std::string_view list, bool parent_style, Tables& tables)
    : kind_(kind), parameter_(std::move(parameter)), parent_style_(parent_style), log_(std::make_shared<observe::Log>(tables.site().log))
{
    add_list(list, true, 0, tables);
    for (const std::string& problem : problems_)
        tables.site().log.warning("{}: {}", parameter_, problem);
}

void MatchList::add_list(std::string_view list, bool sense, int depth, Tables& tables)
{
    for (const std::string_view item : split_braced(list))
        add_item(item, sense, depth, tables);
}

void MatchList::add_error(std::string text, bool sense)
{
    problems_.push_back(text);
    steps_.push_back({sense, Error{fmt::format("{}: {}", parameter_, text), "4.3.5"}});
}

MatchList::Words& MatchList::words(bool sense)
{
    if (steps_.empty() || steps_.back().sense != sense || !std::holds_alternative<Words>(steps_.back().test))
        steps_.push_back({sense, Words{}});
    return std::get<Words>(steps_.back().test);
}

void MatchList::add_item(std::string_view item, bool sense, int depth, Tables& tables)
{
    for (; item.starts_with('!'); item.remove_prefix(1))
        sense = !sense;
    if (item.empty())
        return add_error("no pattern after '!'", sense);
    if (item.starts_with('/'))
        return add_file(std::string(item), sense, depth, tables);
    const bool network = kind_ == ListKind::hosts && (item.starts_with('[') || parse_network(item));
    if (!network && !item.starts_with('[') && item.find(':') != item.npos) {
        steps_.push_back({sense, tables.open(item)});
        return;
    }
    // What looks like a network has to be one: a slip of the pen must not quietly match nobody.
    if (network || (kind_ == ListKind::hosts && (item.find('/') != item.npos || item.find_first_not_of("0123456789.") == item.npos))) {
        const auto parsed = parse_network(item);
        if (!parsed)
            return add_error(parsed.error().what(), sense);
        words(sense).networks.push_back(*parsed);
        return;
    }
    words(sense).words.insert(fold_key(item, true));
}

void MatchList::add_file(std::string path, bool sense, int depth, Tables& tables)
{
    if (depth == max_depth)
        return add_error(fmt::format("{}: files name each other more than {} deep", path, max_depth), sense);
    auto fd = tables.site().opener->open(path);
    if (!fd)
        return add_error(fd.error().what(), sense);
    const auto text = read_all(fd->get());
    if (!text)
        return add_error(fmt::format("{}: {}", path, text.error().what()), sense);
    Warnings warnings;
    LogicalLines lines(*text, path, warnings);
    for (LogicalLine line; lines.next(line);)
        add_list(line.text, sense, depth + 1, tables);
    for (const std::string& warning : warnings)
        tables.site().log.warning("{}", warning);
}

bool MatchList::has(const Words& words, std::string_view name, std::string_view address) const
{
    if (!words.networks.empty() && !address.empty()) {
        if (const auto number = parse_address(address))
            for (const Network& network : words.networks)
                if (network.contains(*number))
                    return true;
    }
    if (words.words.empty() || name.empty())
        return false;
    if (kind_ == ListKind::strings)
        return words.words.contains(name);
    for (const std::string_view key : domain_keys(name, parent_style_))
        if (words.words.contains(key))
            return true;
    return false;
}

Result<bool> MatchList::has(Lookups& lookups, Table& table, std::string_view name, std::string_view address) const
{
    const auto there = [&](std::string_view key) -> Result<bool> {
        auto answer = lookups.find(table, key);
        if (!answer) {
            Error failed{fmt::format("{}: {}: table lookup problem", parameter_, table.name()), "4.3.0"};
            if (!lookups.waiting()) {
                log_->warning("{} is unavailable. {}", table.name(), answer.error().what());
                log_->warning("{}", failed.what());
            }
            return failed;
        }
        return answer->has_value();
    };
    if (!name.empty()) {
        const auto keys = kind_ == ListKind::strings || table.pattern() ? std::vector{name} : domain_keys(name, parent_style_);
        for (const std::string_view key : keys) {
            TRY(const bool found, there(key));
            if (found)
                return true;
        }
    }
    if (address.empty())
        return false;
    return there(address);
}

Result<bool> MatchList::matches_host(Lookups& lookups, std::string_view name, std::string_view address) const
{
    if (steps_.empty())
        return false;
    const std::string folded = iequals(name, "unknown") && kind_ == ListKind::hosts ? std::string{} : fold_key(name, true);
    for (const Step& step : steps_) {
        if (const auto* words = std::get_if<Words>(&step.test)) {
            if (has(*words, folded, address))
                return step.sense;
        } else if (const auto* table = std::get_if<std::shared_ptr<Table>>(&step.test)) {
            TRY(const bool found, has(lookups, **table, folded, address));
            if (found)
                return step.sense;
        } else {
            const Error& wrong = std::get<Error>(step.test);
            log_->warning("{}", wrong.what());
            return wrong;
        }
    }
    return false;
}

bool MatchList::in_memory() const
{
    return std::ranges::all_of(steps_, [](const Step& step) {
        const auto* table = std::get_if<std::shared_ptr<Table>>(&step.test);
        return table == nullptr || (*table)->in_memory();
    });
}

awaitable<Result<bool>> MatchList::ask(std::string name, std::string address) const
{
    co_return co_await settle([this, name, address](Lookups& lookups) { return matches_host(lookups, name, address); });
}

bool parent_style(std::string_view list, std::string_view parameter)
{
    return std::ranges::any_of(split(list, " \t\r\n,"), [&](std::string_view item) { return iequals(item, parameter); });
}

}  // namespace posthorn::tables
