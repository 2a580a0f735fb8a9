#include "tables/maps.hpp"

#include "base/strings.hpp"
#include "tables/source.hpp"

#include <fmt/format.h>

namespace posthorn::tables {

Maps::Maps(std::string parameter, std::string_view list, Flags flags, Tables& tables)
    : parameter_(std::move(parameter)), log_(std::make_shared<observe::Log>(tables.site().log))
{
    for (const std::string_view spec : split_braced(list))
        tables_.push_back(tables.open(spec, flags));
}

Answer Maps::refuse(const Lookups& lookups, const Table& table, std::string_view key, const Error& error) const
{
    if (!lookups.waiting()) {
        log_->warning("{} is unavailable. {}", table.name(), error.what());
        log_->warning("{} lookup error for \"{}\"", table.name(), printable(key.substr(0, 100), true));
    }
    return Error{error.what(), error.status().empty() ? "4.3.0" : error.status()};
}

Answer Maps::find(Lookups& lookups, std::string_view key, KeyKind kind) const
{
    if (key.empty())
        return std::nullopt;
    for (const auto& table : tables_) {
        if (kind == KeyKind::piece && table->pattern())
            continue;
        auto answer = lookups.find(*table, key);
        if (!answer)
            return refuse(lookups, *table, key, answer.error());
        const std::optional<std::string>& value = *answer;
        if (!value)
            continue;
        if (value->empty()) {
            log_->warning("{} lookup of {} returns an empty string result", parameter_, printable(key, true));
            log_->warning("{} should return NO RESULT in case of NOT FOUND", parameter_);
            return Error{fmt::format("{}: empty lookup result", table->name()), "4.3.5"};
        }
        return answer;
    }
    return std::nullopt;
}

Result<std::optional<Found>> Maps::find_address(Lookups& lookups, std::string_view address, const Delimiter& delimiter, const LocalDomains* own) const
{
    if (tables_.empty() || address.empty())
        return std::nullopt;
    const auto found = [](std::string value, std::string_view extension) {
        return std::optional<Found>{Found{std::move(value), std::string(extension)}};
    };
    const AddressParts parts = split_address(address);
    const std::string local = quote_local(parts.local);
    const std::string tail = parts.has_domain ? fmt::format("@{}", parts.domain) : std::string{};

    TRY(auto whole, find(lookups, local + tail));
    if (whole)
        return found(std::move(*whole), {});

    const std::size_t at = extension_at(parts.local, delimiter);
    const std::string_view extension = at == parts.local.npos ? std::string_view{} : parts.local.substr(at);
    const std::string user = extension.empty() ? local : quote_local(parts.local.substr(0, at));
    if (!extension.empty()) {
        TRY(auto plain, find(lookups, user + tail, KeyKind::piece));
        if (plain)
            return found(std::move(*plain), extension);
    }
    if (!parts.has_domain)
        return std::nullopt;
    bool ours = false;
    if (own != nullptr) {
        TRY(ours, own->local(lookups, parts.domain));
    }
    if (ours) {
        TRY(auto name, find(lookups, local, KeyKind::piece));
        if (name)
            return found(std::move(*name), {});
        if (!extension.empty()) {
            TRY(auto plain, find(lookups, user, KeyKind::piece));
            if (plain)
                return found(std::move(*plain), extension);
        }
    }
    TRY(auto domain, find(lookups, tail, KeyKind::piece));
    if (domain)
        return found(std::move(*domain), extension);
    return std::nullopt;
}

awaitable<Answer> Maps::lookup(std::string key) const
{
    co_return co_await settle([this, key](Lookups& lookups) { return find(lookups, key); });
}

}  // namespace posthorn::tables
