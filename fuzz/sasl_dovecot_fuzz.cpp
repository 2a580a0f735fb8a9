// What the socket of smtpd_sasl_path may say, and that whatever a client says is one line of it.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "sasl/dovecot_line.hpp"

#include <algorithm>

namespace posthorn::fuzz {

void fuzz_one(std::string_view input)
{
    using namespace sasl;
    for (const std::string_view line : split_exact(input, '\n')) {
        const DovecotLine parsed = parse_dovecot_line(line);
        using Kind = DovecotLine::Kind;
        if (parsed.kind == Kind::mechanism)
            FUZZ_CHECK(!parsed.name.empty() && parsed.name.size() <= 20 && parsed.name == to_upper(parsed.name) &&
                       parsed.name.find_first_of(" \t\r\n") == std::string::npos);
        if (parsed.kind == Kind::answer) {
            FUZZ_CHECK(parsed.answer.kind != Answer::Kind::accepted || !parsed.answer.username.empty());
            FUZZ_CHECK(parsed.answer.text.size() <= line.size() && parsed.answer.username.size() <= line.size());
        }
    }
    const std::string whole(input);
    FUZZ_CHECK(unescape_dovecot(escape_dovecot(whole)) == whole);
    FUZZ_CHECK(unescape_dovecot(whole).size() <= whole.size());
    Question question;
    question.mechanism = whole;
    question.initial = whole;
    question.client_address = "192.0.2.1";
    for (const std::string& text : {dovecot_question(1, question, "smtp"), dovecot_response(1, whole)}) {
        FUZZ_CHECK(text.find('\n') == text.size() - 1);
        FUZZ_CHECK(std::ranges::count(text, '\t') == (text.starts_with("AUTH") ? 6 : 2));
        FUZZ_CHECK(text.find('\0') == std::string::npos);
    }
}

}  // namespace posthorn::fuzz
