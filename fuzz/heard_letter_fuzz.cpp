// A mail by a stranger that may have a report in it: it has reports or says why not, and one with something packed is no letter that is answered.
#include "heard_checks.hpp"

#include "heard/letter.hpp"

namespace posthorn::fuzz {

void fuzz_one(std::string_view input)
{
    const heard::Letter letter = heard::read_letter(input, "mx.ours.test");
    FUZZ_CHECK(letter.reports.empty() == letter.wrong.has_value());
    check_text(letter.author);
    check_text(letter.proof);
    for (const heard::Report& report : letter.reports)
        check_report(report);
    FUZZ_CHECK(letter.automatic || (letter.wrong && letter.wrong->text() == "nothing in it is a report"));
}

}  // namespace posthorn::fuzz
