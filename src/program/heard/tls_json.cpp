#include "heard/tls_json.hpp"

#include "base/strings.hpp"
#include "net/address.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <optional>

namespace posthorn::heard {

namespace {

namespace json = boost::json;

constexpr std::size_t deepest_member = 32, most_domains = 100;

const json::value* member(const json::object& object, std::string_view name)
{
    return object.if_contains(json::string_view(name.data(), name.size()));
}

std::string text_in(const json::object& object, std::string_view name)
{
    const json::value* value = member(object, name);
    return value && value->is_string() ? text_of({value->get_string().data(), value->get_string().size()}) : std::string();
}

Result<std::uint64_t> count_in(const json::object& object, std::string_view name, std::uint64_t otherwise)
{
    const json::value* value = member(object, name);
    if (!value || value->is_null())
        return otherwise;
    std::optional<std::uint64_t> count;
    if (value->is_int64() && value->get_int64() >= 0)
        count = static_cast<std::uint64_t>(value->get_int64());
    else if (value->is_string())
        count = parse_number(trim({value->get_string().data(), value->get_string().size()}));
    if (!count || *count > most_counted)
        return Error{fmt::format("{} is no number of sessions", name)};
    return *count;
}

/// "2026-11-27T00:00:00Z", the offset being of no matter for a day; none where it is no time.
std::optional<WallTime> instant_of(const std::string& text)
{
    int year = 0;
    unsigned month = 0, day = 0, hour = 0, minute = 0, second = 0;
    if (std::sscanf(text.c_str(), "%4d-%2u-%2uT%2u:%2u:%2u", &year, &month, &day, &hour, &minute, &second) != 6)
        return std::nullopt;
    const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
    if (!date.ok() || year < 1970 || year > 2200 || hour > 24 || minute > 59 || second > 60)
        return std::nullopt;
    return WallTime(std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(hour) + std::chrono::minutes(minute) +
                    std::chrono::seconds(second));
}

std::string ip_in(const json::object& object, std::string_view name)
{
    const auto address = net::IpAddress::parse(text_in(object, name));
    return address ? address->text() : std::string();
}

Result<void> add_policy(const json::object& entry, Report& report, const handoff::TlsPolicy& policy)
{
    const json::value* summary = member(entry, "summary");
    const json::object none;
    const json::object& totals = summary && summary->is_object() ? summary->get_object() : none;
    TRY(const std::uint64_t good, count_in(totals, "total-successful-session-count", 0));
    TRY(std::uint64_t bad, count_in(totals, "total-failure-session-count", 0));
    if (good > 0) {
        Row row{.dmarc = {}, .tls = {}, .count = good, .good = true};
        *row.tls.mutable_policy() = policy;
        report.add(std::move(row));
    }
    const json::value* details = member(entry, "failure-details");
    if (details && details->is_array())
        for (const json::value& one : details->get_array()) {
            if (!one.is_object())
                return Error{"failure-details has something that is no object"};
            const json::object& detail = one.get_object();
            Row row;
            *row.tls.mutable_policy() = policy;
            handoff::TlsFailure& failure = *row.tls.mutable_failure();
            TRY(row.count, count_in(detail, "failed-session-count", 1));
            failure.set_type(to_lower(text_in(detail, "result-type")));
            if (failure.type().empty())
                failure.set_type("unspecified");
            failure.set_from(ip_in(detail, "sending-mta-ip"));
            failure.set_host(domain_of(text_in(detail, "receiving-mx-hostname")));
            failure.set_hello(text_in(detail, "receiving-mx-helo"));
            failure.set_to(ip_in(detail, "receiving-ip"));
            failure.set_reason(text_in(detail, "failure-reason-code"));
            if (failure.reason().empty())
                failure.set_reason(text_in(detail, "additional-information"));
            bad -= std::min(bad, row.count);
            report.add(std::move(row));
        }
    if (bad > 0) {
        Row row{.dmarc = {}, .tls = {}, .count = bad, .good = false};
        *row.tls.mutable_policy() = policy;
        row.tls.mutable_failure()->set_type("unspecified");
        report.add(std::move(row));
    }
    return {};
}

}  // namespace

Result<std::vector<Report>> read_tls(std::string_view text)
{
    if (text.size() > most_json)
        return Error{fmt::format("it has more than {} octets of JSON", most_json)};
    json::parse_options options;
    options.max_depth = deepest_member;
    boost::system::error_code wrong;
    const json::value whole = json::parse(json::string_view(text.data(), text.size()), wrong, {}, options);
    if (wrong)
        return Error{fmt::format("it is no JSON ({})", wrong.message())};
    if (!whole.is_object())
        return Error{"it is no JSON object"};
    const json::object& object = whole.get_object();
    Report common;
    common.organization = text_in(object, "organization-name");
    common.contact = text_in(object, "contact-info");
    common.id = text_in(object, "report-id");
    if (common.id.empty())
        return Error{"it has no report-id"};
    if (const json::value* range = member(object, "date-range"); range && range->is_object()) {
        common.begin = instant_of(text_in(range->get_object(), "start-datetime")).value_or(WallTime{});
        common.end = instant_of(text_in(range->get_object(), "end-datetime")).value_or(WallTime{});
    }
    std::vector<Report> reports;
    const json::value* policies = member(object, "policies");
    for (const json::value& one : policies && policies->is_array() ? policies->get_array() : json::array()) {
        if (!one.is_object())
            return Error{"policies has something that is no object"};
        const json::object& entry = one.get_object();
        const json::value* said = member(entry, "policy");
        if (!said || !said->is_object())
            return Error{"a policy is missing"};
        handoff::TlsPolicy policy;
        policy.set_type(to_lower(text_in(said->get_object(), "policy-type")));
        policy.set_domain(domain_of(text_in(said->get_object(), "policy-domain")));
        if (policy.domain().empty())
            return Error{"a policy has no policy-domain that is a domain"};
        auto report = std::ranges::find(reports, policy.domain(), &Report::domain);
        if (report == reports.end()) {
            if (reports.size() == most_domains)
                return Error{fmt::format("it is about more than {} domains", most_domains)};
            report = reports.insert(report, common);
            report->domain = policy.domain();
        }
        TRY_VOID(add_policy(entry, *report, policy));
    }
#ifndef POSTHORN_PLANT_BUG_heard_tls
    if (reports.empty())
        return Error{"it has no policies"};
#endif
    return reports;
}

}  // namespace posthorn::heard
