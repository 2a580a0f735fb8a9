#include "verify/record.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::verify {

namespace {

constexpr std::string_view told_mark = "\x1f";

std::int64_t seconds_of(WallTime when) { return std::chrono::floor<std::chrono::seconds>(when).time_since_epoch().count(); }

std::optional<std::uint64_t> take_number(std::string_view& rest)
{
    const auto colon = rest.find(':');
    if (colon == rest.npos || colon > 18)
        return std::nullopt;
    const auto number = parse_number(rest.substr(0, colon));
    rest.remove_prefix(colon + 1);
    return number;
}

}  // namespace

std::string to_text(const Record& record)
{
    return fmt::format("{}:0:{}:{}{}{}", static_cast<int>(record.kind), seconds_of(record.updated),
                       printable(std::string_view(record.text).substr(0, text_limit), true), record.told_by.empty() ? "" : told_mark, record.told_by);
}

std::optional<Record> parse(std::string_view text)
{
    const auto kind = take_number(text);
    const auto probed = kind ? take_number(text) : std::nullopt;
    const auto updated = probed ? take_number(text) : std::nullopt;
    // Both times zero: nothing ever happened to it, so somebody else wrote it.
    if (!updated || *kind > static_cast<std::uint64_t>(Finding::Kind::in_progress) || (*probed == 0 && *updated == 0) ||
        *updated > static_cast<std::uint64_t>(seconds_of(WallTime::max())))
        return std::nullopt;
    const auto mark = text.rfind(told_mark);
    Record record(static_cast<Finding::Kind>(*kind), WallTime{std::chrono::seconds{*updated}},
                  std::string(text.substr(0, std::min(mark, text_limit))));
    if (mark != text.npos)
        record.told_by = text.substr(mark + told_mark.size());
    return record;
}

std::string key_of(std::string_view address)
{
    std::string key(address);
    std::ranges::replace(key, ':', '_');
    return key;
}

std::string control_key_of(std::string_view domain) { return "control:" + to_lower(domain); }

}  // namespace posthorn::verify
