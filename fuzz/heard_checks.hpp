// fuzz/heard_checks.hpp: what holds of a report that was read, whoever wrote it.
#pragma once

#include "fuzz.hpp"

#include "base/strings.hpp"
#include "heard/report.hpp"

namespace posthorn::fuzz {

inline void check_text(std::string_view text)
{
    FUZZ_CHECK(text.size() <= heard::longest_text * 2 && is_valid_utf8(text) && printable(text, true) == text);
}

inline void check_report(const heard::Report& report)
{
    FUZZ_CHECK(!report.id.empty() && !report.domain.empty() && heard::domain_of(report.domain) == report.domain);
    for (const std::string* text : {&report.organization, &report.contact, &report.id, &report.policy})
        check_text(*text);
    FUZZ_CHECK(report.rows.size() <= heard::most_rows);
    std::uint64_t counted = 0;
    for (const heard::Row& row : report.rows) {
        FUZZ_CHECK(row.count <= heard::most_counted);
        counted += row.count;
        for (const std::string* text : {&row.dmarc.source(), &row.dmarc.header_from(), &row.dmarc.reason(), &row.dmarc.comment(),
                                        &row.tls.failure().type(), &row.tls.failure().host(), &row.tls.failure().reason(), &row.tls.policy().type()})
            check_text(*text);
        FUZZ_CHECK(row.good != row.tls.has_failure() || report.kind == aggregate::Kind::dmarc);
    }
    FUZZ_CHECK(counted + report.left_out == report.good + report.bad);
}

}  // namespace posthorn::fuzz
