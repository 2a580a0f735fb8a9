// SPF: what is expanded of a record is a name that can be asked for, or nothing; an explanation is a line of printable ASCII; and a check ends, with one of the results
// and no more questions than RFC 7208 4.6.4 allows, whatever the records of all domains say.
// Input    a line of choices (addresses, what the DNS answers), then TXT records one a line: the first domain has the first, and so on in turn.
#include "fuzz.hpp"

#include "async/run.hpp"
#include "base/strings.hpp"
#include "mailauth/spf.hpp"
#include "mailauth/spf_macro.hpp"
#include "mailauth/spf_record.hpp"

#include <array>

namespace posthorn::fuzz {

using namespace posthorn::mailauth;

namespace {

// Of one check: ten terms, each with its question and ten hosts; the record itself, the names of the client, the explanation.
constexpr std::size_t most_questions = 1 + 10 * 11 + 11 + 1;

bool is_printable(std::string_view text)
{
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7f; });
}

void expand_all(std::string_view record)
{
    SpfValues values;
    values.local_part = "a+b.c\xc3\xa4" + std::string(60, 'x');
    values.sender_domain = values.domain = std::string(60, 'd') + ".example.test";
    values.helo = "mail.example.test";
    values.receiver = "mx.test";
    values.address = *net::IpAddress::parse(record.size() % 2 == 0 ? "192.0.2.1" : "2001:db8::1");
    const auto parsed = parse_spf_record(record);
    if (!parsed)
        return;
    std::vector<std::string> specs;
    for (const SpfMechanism& mechanism : parsed->mechanisms) {
        FUZZ_CHECK(mechanism.prefix4 <= 32 && mechanism.prefix6 <= 128);
        if (!mechanism.domain_spec.empty())
            specs.push_back(mechanism.domain_spec);
    }
    for (const auto& modifier : {parsed->redirect, parsed->exp})
        if (modifier)
            specs.push_back(*modifier);
    for (const std::string& spec : specs) {
        FUZZ_CHECK(is_domain_spec(spec) && is_macro_string(spec, false) && is_macro_string(spec, true));
        FUZZ_CHECK(expand_domain_spec(spec, values).size() <= 253);
        const std::string explanation = expand_explanation(spec, values);
        FUZZ_CHECK(explanation.size() <= 400 && is_printable(explanation));
        if (!uses_macro(spec, "slodiphv"))
            FUZZ_CHECK(spec.find('%') != spec.npos || expand_domain_spec(spec, values).size() + 1 >= std::min<std::size_t>(spec.size(), 200) ||
                       spec.size() > 253);
    }
}

}  // namespace

void fuzz_one(std::string_view input)
{
    const std::size_t first = std::min(input.find('\n'), input.size());
    std::string_view choices_text = input.substr(0, first);
    const std::vector<std::string_view> records = split_exact(input.substr(std::min(first + 1, input.size())), '\n');
    Choices choices(choices_text);
    for (const std::string_view record : records)
        if (is_spf_record(record))
            expand_all(record);

    std::size_t questions = 0, texts = 0;
    const Ask ask = [&](std::string name, dns::Type type) -> awaitable<dns::Answer> {
        FUZZ_CHECK(++questions <= most_questions);
        FUZZ_CHECK(dns::is_queryable(name));
        dns::Answer answer;
        const std::uint8_t kind = choices.octet();
        answer.status = kind % 16 == 15 ? dns::Status::temporary : kind % 16 == 14 ? dns::Status::nxdomain : dns::Status::found;
        for (int i = 0; answer.found() && i < 1 + (kind >= 128 ? 11 : 0); ++i) {
            dns::Record record;
            record.type = type;
            record.host = i == 0 ? "mail.a.test" : "h.test";
            record.address = *net::IpAddress::parse(type == dns::Type::aaaa ? (kind % 2 == 0 ? "2001:db8::1" : "2001:db8:1::1")
                                                    : kind % 2 == 0         ? "192.0.2.1"
                                                                            : "192.0.3.1");
            if (type == dns::Type::txt)
                record.text = records[texts % records.size()];
            answer.records.push_back(record);
        }
        texts += type == dns::Type::txt ? 1 : 0;
        co_return answer;
    };
    const std::uint8_t who = choices.octet();
    asio::io_context loop;
    SpfRequest request(*net::IpAddress::parse((who & 1) != 0 ? "2001:db8::1" : "192.0.2.1"),
                       (who & 2) != 0   ? ""
                       : (who & 4) != 0 ? "\xc3\xa4@a.test"
                                        : "u.v@a.test",
                       "mail.a.test", "mx.test", WallTime{});
    const SpfFinding found = run(loop, check_spf(std::move(request), ask));
    constexpr std::array<std::string_view, 7> results{"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"};
    FUZZ_CHECK(std::find(results.begin(), results.end(), found.result) != results.end());
    FUZZ_CHECK(found.properties.size() == 1);
    FUZZ_CHECK(found.explanation.empty() || (found.result == "fail" && is_printable(found.explanation)));
    FUZZ_CHECK(is_printable(found.reason));
}

}  // namespace posthorn::fuzz
