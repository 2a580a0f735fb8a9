#include "mailauth/dmarc_record.hpp"

#include "base/strings.hpp"

#include <algorithm>
#include <array>
#include <limits>

namespace posthorn::mailauth {

namespace {

constexpr std::size_t longest_dmarc_record = 8192;
constexpr std::array<std::string_view, 3> policy_names{"none", "quarantine", "reject"};

/// The value of the first tag of that name.
std::optional<std::string_view> dmarc_tag(std::string_view text, std::string_view name)
{
    for (const std::string_view piece : split_exact(text, ';')) {
        const std::size_t equals = piece.find('=');
        if (equals != piece.npos && iequals(trim(piece.substr(0, equals)), name))
            return trim(piece.substr(equals + 1));
    }
    return std::nullopt;
}

std::optional<DmarcPolicy> policy_of(std::string_view value)
{
    for (std::size_t i = 0; i < policy_names.size(); ++i)
        if (iequals(value, policy_names[i]))
            return static_cast<DmarcPolicy>(i);
    return std::nullopt;
}

/// scheme ":" and something behind it.                                                                          RFC 3986 3.1
bool has_uri(std::string_view list)
{
    return std::ranges::any_of(split(list, ","), [](std::string_view piece) {
        const std::string_view uri = trim(piece);
        const std::size_t colon = uri.find(':');
        return colon != uri.npos && colon > 0 && colon + 1 < uri.size() && is_alpha(uri.front()) &&
               std::ranges::all_of(uri.substr(0, colon), [](char c) { return is_alnum(c) || c == '+' || c == '-' || c == '.'; });
    });
}

bool is_strict(std::string_view text, std::string_view name)
{
    const auto value = dmarc_tag(text, name);
    return value && iequals(*value, "s");
}

std::optional<std::uint64_t> number_up_to(std::string_view text, std::string_view name, std::uint64_t most)
{
    const auto value = dmarc_tag(text, name);
    const auto number = value ? parse_number(*value) : std::nullopt;
    return number && *number <= most ? number : std::nullopt;
}

}  // namespace

std::string_view dmarc_policy_name(DmarcPolicy policy) { return policy_names[static_cast<std::size_t>(policy)]; }

bool is_dmarc_record(std::string_view text)
{
    const std::string_view first = text.substr(0, text.find(';'));
    const std::size_t equals = first.find('=');
    return equals != first.npos && !is_space(first.front()) && iequals(trim(first.substr(0, equals)), "v") &&
           trim(first.substr(equals + 1)) == "DMARC1";
}

Result<DmarcRecord> parse_dmarc_record(std::string_view text)
{
    if (text.size() > longest_dmarc_record)
        return Error("the DMARC record is too long");
    DmarcRecord record;
    record.aggregate_reports = dmarc_tag(text, "rua").value_or("");
    record.failure_reports = dmarc_tag(text, "ruf").value_or("");
    if (const auto options = dmarc_tag(text, "fo"); options && std::ranges::all_of(split_exact(*options, ':'), [](std::string_view option) {
                                                        const std::string_view one = trim(option);
                                                        return one == "0" || one == "1" || iequals(one, "d") || iequals(one, "s");
                                                    }))
        record.failure_options = *options;
    record.strict_dkim = is_strict(text, "adkim");
    record.strict_spf = is_strict(text, "aspf");
#ifndef POSTHORN_PLANT_BUG_dmarc  // a percentage may be more than all (scripts/fuzz-planted)
    constexpr std::uint64_t all = 100;
#else
    constexpr std::uint64_t all = 1000;
#endif
    record.percent = static_cast<unsigned>(number_up_to(text, "pct", all).value_or(100));
    record.report_interval = static_cast<std::uint32_t>(number_up_to(text, "ri", std::numeric_limits<std::uint32_t>::max()).value_or(86400));

    const auto p = dmarc_tag(text, "p"), sp = dmarc_tag(text, "sp");
    const auto policy = p ? policy_of(*p) : std::nullopt;
    const auto subdomain_policy = sp ? policy_of(*sp) : std::nullopt;
    if (policy && (!sp || subdomain_policy)) {
        record.policy = *policy;
        record.subdomain_policy = subdomain_policy;
    } else if (!has_uri(record.aggregate_reports)) {
        return Error("the DMARC record has no valid policy");
    }
    return record;
}

}  // namespace posthorn::mailauth
