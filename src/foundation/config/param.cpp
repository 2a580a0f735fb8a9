#include "config/param.hpp"

#include <fmt/format.h>

#include "base/strings.hpp"

namespace posthorn::config {

std::string name_as(std::string_view name, std::string_view as)
{
    const auto end = name.find('_');
    if (end == name.npos)
        return std::string{name};
    auto renamed = fmt::format("{}{}", as, name.substr(end));
    if (as == "lmtp" && name.starts_with("smtp_")) {
        for (const std::string_view verb : {"_ehlo_", "_helo_"})
            if (const auto at = renamed.find(verb); at != renamed.npos)
                renamed.replace(at, verb.size(), "_lhlo_");
    }
    return renamed;
}

namespace {

Result<Value> number_in_limits(const ParamInfo& info, std::string_view name, std::int64_t number)
{
    if (info.kind == Kind::time) {
        if (number < info.least)
            return Error{fmt::format("invalid {}: {} (min {})", name, number, info.least)};
        if (info.most != 0 && number > info.most)
            return Error{fmt::format("invalid {}: {} (max {})", name, number, info.most)};
    } else {
        if (number < info.least)
            return Error{fmt::format("invalid {} parameter value {} < {}", name, number, info.least)};
        if (info.most != 0 && number > info.most)
            return Error{fmt::format("invalid {} parameter value {} > {}", name, number, info.most)};
    }
    return Value{number, {}};
}

}  // namespace

Result<Value> parse_value(const ParamInfo& info, std::string_view name, std::string_view text, Unit unit)
{
    switch (info.kind) {
    case Kind::boolean:
        if (iequals(text, "yes"))
            return Value{1, {}};
        if (iequals(text, "no"))
            return Value{0, {}};
        return Error{fmt::format("bad boolean configuration: {} = {}", name, text)};
    case Kind::integer:
    case Kind::size: {
        const auto number = parse_integer(text);
        if (!number || (info.most == std::numeric_limits<int>::max() && *number > info.most))
            return Error{fmt::format("bad numerical configuration: {} = {}", name, text)};
        return number_in_limits(info, name, *number);
    }
    case Kind::time: {
        const auto time = parse_time(text, info.unit == Unit::of_default ? unit : info.unit);
        if (!time || time->count() > std::numeric_limits<int>::max())
            return Error{fmt::format("parameter {}: bad time value or unit: {}", name, text)};
        return number_in_limits(info, name, time->count());
    }
    case Kind::text:
    case Kind::raw:
    case Kind::list: {
        const auto length = static_cast<std::int64_t>(text.size());
        if (length < info.least)
            return Error{fmt::format("bad string length {} < {}: {} = {}", length, info.least, name, text)};
        if (info.most != 0 && length > info.most)
            return Error{fmt::format("bad string length {} > {}: {} = {}", length, info.most, name, text)};
        return Value{0, std::string{text}};
    }
    case Kind::words: break;
    }
    std::string all;
    for (std::size_t i = 0; !info.word(i).empty(); ++i) {
        if (iequals(info.word(i), text))
            return Value{static_cast<std::int64_t>(i), {}};
        all += fmt::format("{}{}", i == 0 ? "" : ", ", info.word(i));
    }
    return Error{fmt::format("bad parameter value: {} = {} (specify one of: {})", name, text, all)};
}

}  // namespace posthorn::config
