#include "send/names.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

namespace posthorn::send {

namespace {
constexpr std::string_view drops_all = "DNS reply filter drops all results";

/// As the filter's tables see the data of a record.
std::string text_of(const dns::Record& record)
{
    if (record.type == dns::Type::mx)
        return fmt::format("{} {}.", record.preference, record.host);
    if (record.type == dns::Type::srv)
        return fmt::format("{} {} {} {}.", record.preference, record.weight, record.port, record.host);
    if (record.type == dns::Type::tlsa)
        return fmt::format("{} {} {} {}", record.usage, record.selector, record.matching, hex_encode(record.text));
    return record.host + ".";
}

}  // namespace

awaitable<Result<bool>> FilteredNames::ignored(std::string line)
{
    CO_TRY(const auto action, co_await filter_.find(line));
    if (!action)
        co_return false;
    if (!iequals(trim(*action), "IGNORE")) {
        log_.warning("smtp_dns_reply_filter: unknown DNS filter action: \"{}\"", printable(*action));
        co_return Error("Invalid DNS reply filter syntax");
    }
    log_.info("ignoring DNS RR: {}", printable(line));
    co_return true;
}

awaitable<dns::Answer> FilteredNames::mx(std::string domain)
{
    dns::Answer answer = co_await names_.mx(domain);
    co_return co_await less_ignored(std::move(domain), std::move(answer));
}

awaitable<dns::Answer> FilteredNames::query(std::string name, dns::Type type)
{
    dns::Answer answer = co_await names_.query(name, type);
    co_return co_await less_ignored(std::move(name), std::move(answer));
}

awaitable<dns::Answer> FilteredNames::less_ignored(std::string asked, dns::Answer answer)
{
    const std::string& owner = answer.canonical_name.empty() ? asked : answer.canonical_name;
    std::vector<dns::Record> left;
    for (const dns::Record& record : answer.records) {
        const auto out = co_await ignored(fmt::format("{}. {} IN {} {}", owner, answer.ttl.count(), dns::type_name(record.type), text_of(record)));
        if (out && !*out)
            left.push_back(record);
        else if (!out) {
            answer.records.clear();
            answer.status = dns::Status::temporary;
            answer.reason = out.error().text();
            co_return answer;
        }
    }
    if (answer.found() && left.empty()) {
        answer.status = dns::Status::temporary;
        answer.reason = drops_all;
    }
    answer.records = std::move(left);
    co_return answer;
}

awaitable<dns::Addresses> FilteredNames::addresses(std::string host, dns::Families families)
{
    dns::Addresses answer = co_await names_.addresses(host, families);
    if (answer.native)
        co_return answer;
    const std::string& owner = answer.canonical_name.empty() ? host : answer.canonical_name;
    std::vector<net::IpAddress> left;
    for (const net::IpAddress& address : answer.list) {
        const auto out = co_await ignored(fmt::format("{}. {} IN {} {}", owner, answer.ttl.count(), address.is_v6() ? "AAAA" : "A", address.text()));
        if (out && !*out)
            left.push_back(address);
        else if (!out) {
            answer.list.clear();
            answer.status = dns::Status::temporary;
            answer.reason = out.error().text();
            co_return answer;
        }
    }
    if (answer.found() && left.empty()) {
        answer.status = dns::Status::temporary;
        answer.reason = drops_all;
    }
    answer.list = std::move(left);
    co_return answer;
}

}  // namespace posthorn::send
