#include "tables/source_config.hpp"

#include "base/strings.hpp"
#include "config/main_cf.hpp"
#include "tables/source.hpp"

#include <fmt/format.h>

namespace posthorn::tables {

bool is_source_file(std::string_view name) { return name.starts_with('/') || name.starts_with('.'); }

Result<SourceConfig> SourceConfig::read(const std::string& name, const Site& site)
{
    SourceConfig made;
    if (!is_source_file(name)) {
        made.source_ = "main.cf";
        made.prefix_ = name + "_";
        made.parameter_ = site.parameter;
        return made;
    }
    made.source_ = name;
    TRY(const Fd fd, site.opener->open(name));
    TRY(const std::string octets, read_all(fd.get()));
    auto parsed = config::parse_main_cf(octets, name);
    if (!parsed)
        return Error{parsed.error().what(), "4.3.5"};
    for (const std::string& warning : parsed->warnings)
        site.log.warning("{}", warning);
    for (config::Assignment& assignment : parsed->assignments)
        made.values_[assignment.name] = Value{std::move(assignment.value), assignment.line};
    return made;
}

std::string SourceConfig::text(const std::string& name, std::string_view otherwise) const
{
    if (const auto at = values_.find(name); at != values_.end())
        return at->second.text;
    if (parameter_)
        if (auto value = parameter_(prefix_ + name))
            return *std::move(value);
    return std::string(otherwise);
}

Error SourceConfig::wrong(const std::string& name, std::string_view why) const
{
    const auto at = values_.find(name);
    return Error{at == values_.end() ? fmt::format("{}: {}{}: {}", source_, prefix_, name, why)
                                     : fmt::format("{}, line {}: {}: {}", source_, at->second.line, name, why),
                 "4.3.5"};
}

Result<std::string> SourceConfig::required(const std::string& name) const
{
    std::string value = text(name);
    if (!value.empty())
        return value;
    const auto at = values_.find(name);
    const std::string where = at != values_.end() ? fmt::format("{}, line {}: ", source_, at->second.line) : prefix_.empty() ? source_ + ": " : "";
    return Error{fmt::format("{}bad string length 0 < 1: {}{} = ", where, prefix_, name), "4.3.5"};
}

Result<std::uint64_t> SourceConfig::number(const std::string& name, std::uint64_t otherwise, std::uint64_t least, std::uint64_t most) const
{
    const std::string value = text(name);
    if (value.empty())
        return otherwise;
    const auto parsed = parse_number(value);
    if (!parsed || *parsed < least || *parsed > most)
        return wrong(name, fmt::format("\"{}\" is no number from {} to {}", printable(value), least, most));
    return *parsed;
}

Result<bool> SourceConfig::yes(const std::string& name, bool otherwise) const
{
    const std::string value = text(name);
    if (value.empty())
        return otherwise;
    if (iequals(value, "yes"))
        return true;
    if (iequals(value, "no"))
        return false;
    return wrong(name, fmt::format("\"{}\" is neither yes nor no", printable(value)));
}

std::vector<std::string> SourceConfig::words(const std::string& name, std::string_view otherwise) const
{
    const std::string value = text(name, otherwise);
    std::vector<std::string> words;
    for (const std::string_view word : split_braced(value))
        words.emplace_back(word);
    return words;
}

}  // namespace posthorn::tables
