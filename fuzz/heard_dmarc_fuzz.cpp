// A report of DMARC by a stranger: whatever it says, what is read of it is text that a line can have, and its numbers fit together.
#include "heard_checks.hpp"

#include "heard/dmarc_xml.hpp"

namespace posthorn::fuzz {

void fuzz_one(std::string_view input)
{
    const auto report = heard::read_dmarc(input);
    if (report)
        check_report(*report);
    else
        FUZZ_CHECK(!report.error().text().empty());
}

}  // namespace posthorn::fuzz
