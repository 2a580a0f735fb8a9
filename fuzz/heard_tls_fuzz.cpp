// A report of TLS by a stranger: whatever it says, what is read of it is text that a line can have, and its numbers fit together.
#include "heard_checks.hpp"

#include "heard/tls_json.hpp"

namespace posthorn::fuzz {

void fuzz_one(std::string_view input)
{
    const auto reports = heard::read_tls(input);
    if (!reports) {
        FUZZ_CHECK(!reports.error().text().empty());
        return;
    }
    FUZZ_CHECK(!reports->empty());
    for (const heard::Report& report : *reports)
        check_report(report);
}

}  // namespace posthorn::fuzz
