#include "receive/filtered_names.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

namespace posthorn::receive {

namespace {

std::string text_of(const dns::Record& record)
{
    switch (record.type) {
    case dns::Type::a:
    case dns::Type::aaaa: return record.address.text();
    case dns::Type::mx: return fmt::format("{} {}.", record.preference, record.host);
    case dns::Type::txt: return record.text;
    default: return record.host + ".";
    }
}

}  // namespace

awaitable<Result<bool>> FilteredNames::ignored(std::string line) const
{
    CO_TRY(const auto action, co_await filter_.lookup(line));
    if (!action)
        co_return false;
    if (!iequals(trim(*action), "IGNORE")) {
        log_.warning("{}: unknown DNS filter action: \"{}\"", filter_.parameter(), printable(*action));
        co_return Error("Invalid DNS reply filter syntax");
    }
    log_.info("ignoring DNS RR: {}", printable(line));
    co_return true;
}

awaitable<dns::Answer> FilteredNames::records(std::string name, dns::Type type)
{
    dns::Answer answer = co_await names_.records(name, type);
    if (!answer.found())
        co_return answer;
    std::string owner = answer.canonical_name.empty() ? std::move(name) : answer.canonical_name;
    if (!owner.ends_with('.'))
        owner += '.';
    std::vector<dns::Record> left;
    for (const dns::Record& record : answer.records) {
        const auto out = co_await ignored(fmt::format("{} {} IN {} {}", owner, answer.ttl.count(), dns::type_name(record.type), text_of(record)));
        if (!out) {
            answer.records.clear();
            answer.status = dns::Status::temporary;
            answer.reason = out.error().text();
            co_return answer;
        }
        if (!*out)
            left.push_back(record);
    }
    if (left.empty())
        answer.status = dns::Status::nodata;
    answer.records = std::move(left);
    co_return answer;
}

// The same question as DnsNames has it, of what is left.
awaitable<Result<MailHost>> FilteredNames::mail_host(std::string domain)
{
    for (const dns::Type type : {dns::Type::mx, dns::Type::a, dns::Type::aaaa}) {
        const dns::Answer answer = co_await records(domain, type);
        if (answer.transient())
            co_return dns::lookup_error(domain, type, answer);
        if (type == dns::Type::mx && dns::is_null_mx(answer))
            co_return MailHost::null_mx;
        if (answer.found())
            co_return MailHost::found;
    }
    co_return MailHost::absent;
}

}  // namespace posthorn::receive
