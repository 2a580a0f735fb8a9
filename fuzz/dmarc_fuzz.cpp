// DMARC: a record keeps the bounds of its tags, says the same when it is written out and read again, and does not depend on tags that nobody knows; authors of
// a header are few, each once, in names that can be asked for.
// Input    a record, then a header from the second line on.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "mailauth/dmarc.hpp"

#include <fmt/format.h>

#include <set>

namespace posthorn::fuzz {

using namespace posthorn::mailauth;

namespace {

std::string written(const DmarcRecord& record)
{
    std::string text = fmt::format("v=DMARC1; p={}; adkim={}; aspf={}; pct={}; ri={}; fo={}; rua={}; ruf={}", dmarc_policy_name(record.policy),
                                   record.strict_dkim ? 's' : 'r', record.strict_spf ? 's' : 'r', record.percent, record.report_interval,
                                   record.failure_options, record.aggregate_reports, record.failure_reports);
    if (record.subdomain_policy)
        text += fmt::format("; sp={}", dmarc_policy_name(*record.subdomain_policy));
    return text;
}

void check_record(std::string_view text)
{
    if (!is_dmarc_record(text))
        return;
    const auto record = parse_dmarc_record(text);
    if (!record)
        return;
    FUZZ_CHECK(record->percent <= 100);
    if (text.size() < 4000) {
        const auto again = parse_dmarc_record(written(*record));
        FUZZ_CHECK(again && *again == *record);
        const auto more = parse_dmarc_record(std::string(text) + "; unknown=1; p=none; pct=7x");
        FUZZ_CHECK(more && (more->policy == record->policy || record->policy == DmarcPolicy::none));
    }
}

}  // namespace

void fuzz_one(std::string_view input)
{
    const std::size_t first = std::min(input.find('\n'), input.size());
    const std::string_view text = input.substr(0, first);
    check_record(text);
    check_record(fmt::format("v=DMARC1; p=reject; {}", text));

    const Authors authors = authors_of(input.substr(std::min(first + 1, input.size())));
    FUZZ_CHECK(authors.domains.size() <= 10);
    FUZZ_CHECK(authors.problem.empty() || authors.domains.empty());
    FUZZ_CHECK(std::set<std::string>(authors.domains.begin(), authors.domains.end()).size() == authors.domains.size());
    for (const std::string& domain : authors.domains)
        FUZZ_CHECK(!domain.empty() && is_ascii(domain) && to_lower(domain) == domain);
}

}  // namespace posthorn::fuzz
