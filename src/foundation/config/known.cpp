#include "config/known.hpp"

#include <limits>
#include <unordered_map>

#include <fmt/format.h>

namespace posthorn::config {

namespace {
constexpr KnownParameter table[] = {
#include "config/known_parameters.inc"
};
}  // namespace

std::span<const KnownParameter> known_parameters() { return table; }

const KnownParameter* known(std::string_view name)
{
    static const auto index = [] {
        std::unordered_map<std::string_view, const KnownParameter*> by_name;
        by_name.reserve(std::size(table));
        for (const auto& parameter : table)
            by_name.emplace(parameter.name, &parameter);
        return by_name;
    }();
    const auto found = index.find(name);
    return found == index.end() ? nullptr : found->second;
}

namespace {

bool same_kind(KnownKind known_kind, const ParamInfo& info)
{
    switch (info.kind) {
    case Kind::boolean: return known_kind == KnownKind::boolean;
    case Kind::integer: return known_kind == KnownKind::integer || known_kind == KnownKind::size || known_kind == KnownKind::other;
    case Kind::time: return known_kind == KnownKind::time || known_kind == KnownKind::other;
    case Kind::size: return known_kind == KnownKind::size || known_kind == KnownKind::integer;
    case Kind::raw: return known_kind == KnownKind::raw || known_kind == KnownKind::text;      // the reader may know better what $ means
    case Kind::text:
    case Kind::list:
    case Kind::words: return known_kind == KnownKind::text || known_kind == KnownKind::other;
    }
    return false;
}

}  // namespace

std::string disagreement(const ParamInfo& info)
{
    const auto* parameter = known(info.name);
    if (info.own)
        return parameter ? "is marked as our own, but Postfix has it" : "";
    if (info.is_family())                         // the stock relay service has no defaults of its own
        parameter = known(name_as(info.name, "relay"));
    if (!parameter)
        return info.is_family() && info.name == "transport_time_limit" ? "" : "is not in Postfix's table, and not marked as our own";
    if (!same_kind(parameter->kind, info))
        return "is of another kind than in Postfix's table";
    if (parameter->initial == "(site)")
        return {};
    if (parameter->initial != info.initial)
        return fmt::format("has the default \"{}\", Postfix has \"{}\"", info.initial, parameter->initial);
    if (parameter->kind == KnownKind::other || info.kind == Kind::words)      // the table has no limits for these
        return {};
    const auto most = info.most == std::numeric_limits<int>::max() ? 0 : info.most;
    if (info.least != parameter->least || most != parameter->most)
        return fmt::format("has the limits {}..{}, Postfix has {}..{}", info.least, most, parameter->least, parameter->most);
    return {};
}

}  // namespace posthorn::config
