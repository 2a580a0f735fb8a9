#include "aggregate/settings.hpp"

#include "aggregate/params.hpp"
#include "base/strings.hpp"
#include "config/list.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::aggregate {

Wanted Wanted::from(const config::Snapshot& snapshot)
{
    Wanted wanted;
    for (const std::string_view word : split(snapshot.text(aggregate_reports.name), ", \t\r\n")) {
        if (word == "tls")
            wanted.tls = true;
        else if (word == "dmarc")
            wanted.dmarc = true;
        else
            throw config::BadValue(fmt::format("parameter {}: unknown word \"{}\": expected tls, dmarc", aggregate_reports.name, word));
    }
    return wanted;
}

bool Settings::except(std::string_view domain) const
{
    return std::ranges::any_of(
        exceptions, [domain](const std::string& one) { return iequals(one, domain) || (one.starts_with('.') && iends_with(domain, one)); });
}

Settings Settings::from(const config::Snapshot& snapshot)
{
    Settings made;
    made.organization = snapshot.get(aggregate_reports_organization);
    made.address = snapshot.get(aggregate_reports_address);
    const auto mailbox = smtp::parse_path("<" + made.address + ">", {.strict = true, .utf8 = false});
    if (!mailbox || mailbox->domain.empty() || mailbox->literal())
        throw config::BadValue(fmt::format("parameter {}: \"{}\" is no address with a domain", aggregate_reports_address.name, made.address));
    made.spread = snapshot.get(aggregate_reports_spread);
    for (const std::string_view word : split(snapshot.text(aggregate_reports_exceptions.name), ", \t\r\n"))
        made.exceptions.emplace_back(word);
    return made;
}

}  // namespace posthorn::aggregate
